"""Put the numbers of a run into Amazon CloudWatch, all of them in one request a minute."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from raypipe.coordination.background_sender import BackgroundSender, SendError
from raypipe.coordination.progress import Snapshot
from raypipe.core.aws_reports import ReportService
from raypipe.core.errors import SetupError
from raypipe.core.redact import refuse_url_secret
from raypipe.metrics.catalog import (
    BOOKS,
    BOOKS_LEFT,
    BUDGET,
    BUDGET_SPENT,
    BULK_REQUESTS,
    COST,
    FAILURES,
    MEMORY,
    MODEL_CALLS,
    PREFIX,
    QUOTA_SHARE,
    RETRIES,
    RUNNING,
    STOPPING,
    THROTTLED,
    TOKENS,
    Metric,
    Sample,
    read_samples,
)

UNITS = {
    BOOKS: "Count",
    FAILURES: "Count",
    BOOKS_LEFT: "Count",
    MODEL_CALLS: "Count",
    TOKENS: "Count",
    COST: "None",
    THROTTLED: "Count",
    RETRIES: "Count",
    BULK_REQUESTS: "Count",
    QUOTA_SHARE: "None",
    BUDGET: "None",
    BUDGET_SPENT: "None",
    MEMORY: "Bytes",
    RUNNING: "None",
    STOPPING: "None",
}
"""The metrics that are put, with CloudWatch's unit. Each metric costs money, so not all are."""

MAX_PER_REQUEST = 1000
"""Metrics in a request at most (Amazon CloudWatch API Reference, PutMetricData)."""
OPTION = "cloudwatch=metrics"
PERMISSION = "cloudwatch:PutMetricData"
_MIN_EVERY_S = 10.0


@dataclass(frozen=True)
class CloudWatchMetrics:
    """Settings of the metrics in CloudWatch. boto3's default chain finds the credentials.

    Args:
        namespace: Namespace of the metrics; give each pipeline of an account its own.
        every_s: Seconds between two requests.
        region: AWS region; None for AWS_REGION or the profile's region.
        profile: Profile of the AWS configuration; None for boto3's default.
        endpoint_url: URL of another server with CloudWatch's API; None for boto3's own settings.

    Raises:
        ValueError: A setting is out of its range.
    """

    namespace: str = "raypipe"
    every_s: float = 60.0
    region: str | None = None
    profile: str | None = None
    endpoint_url: str | None = None

    def __post_init__(self) -> None:
        """Check the settings."""
        if not self.namespace or self.namespace.startswith("AWS/"):
            raise ValueError(f"namespace={self.namespace}: give a name that is not AWS/...")
        if self.every_s < _MIN_EVERY_S:
            raise ValueError(f"every_s={self.every_s} must be at least {_MIN_EVERY_S:g}")
        refuse_url_secret("endpoint_url", self.endpoint_url, "set a profile with the credentials")

    def check_setup(self) -> None:
        """Check that there are a region and credentials; no request is made.

        Raises:
            SetupError: Something is missing; the message says how to get it.
        """
        self._service.check_setup()

    def watcher(self) -> CloudWatchWatcher:
        """Return what puts the metrics of a run."""
        return CloudWatchWatcher(self.namespace, self.every_s, self._service)

    @property
    def _service(self) -> ReportService:
        settings = (self.region, self.profile, self.endpoint_url)
        return ReportService(OPTION, "cloudwatch", PERMISSION, *settings)


class CloudWatchWatcher:
    """Puts the metrics of a run, in a thread.

    A counter is put as its increase since the last request that succeeded, so nothing is lost
    while CloudWatch cannot be reached.

    Args:
        namespace: Namespace of the metrics.
        every_s: Seconds between two requests.
        service: CloudWatch.
    """

    def __init__(self, namespace: str, every_s: float, service: ReportService) -> None:
        self.every_s = every_s
        self._namespace = namespace
        self._service = service
        self._client: Any = None
        self._put: dict[tuple[str, ...], float] = {}  # sums that CloudWatch has
        self._sender = BackgroundSender("cloudwatch", self._send)

    def follow(self, run_id: str) -> CloudWatchWatcher:
        """Return itself: one namespace has all runs, because each new name costs money."""
        return self

    def show(self, snapshot: Snapshot) -> None:
        """Put the values soon."""
        samples = [sample for sample in read_samples(snapshot) if sample.metric in UNITS]
        self._sender.submit((time.time(), samples))

    def end(self, record: Mapping[str, Any]) -> None:
        """Do nothing: the last progress of a run was put."""

    def wait(self, seconds: float) -> None:
        """Wait until the values are put, at most for some seconds."""
        self._sender.wait(seconds)

    def _send(self, message: tuple[float, Sequence[Sample]]) -> None:
        at, samples = message
        try:
            self._client = self._client or self._service.client()
            for first in range(0, len(samples), MAX_PER_REQUEST):
                self._send_batch(at, samples[first : first + MAX_PER_REQUEST])
        except SetupError as error:
            raise SendError(str(error)) from None
        except Exception as error:
            raise SendError(self._service.explain(error)) from None

    def _send_batch(self, at: float, samples: Sequence[Sample]) -> None:
        data = [
            {
                "MetricName": cloudwatch_name(sample.metric),
                "Dimensions": [
                    {"Name": label.capitalize(), "Value": value}
                    for label, value in sample.labels.items()
                ],
                "Timestamp": at,
                "Value": sample.value - self._put.get(_key(sample), 0.0),
                "Unit": UNITS[sample.metric],
            }
            for sample in samples
        ]
        self._client.put_metric_data(Namespace=self._namespace, MetricData=data)
        for sample in samples:
            if sample.metric.kind == "counter":
                self._put[_key(sample)] = sample.value


def cloudwatch_name(metric: Metric) -> str:
    """Return the name in CloudWatch: `BooksLeft` of `raypipe_books_left`."""
    return metric.name.removeprefix(PREFIX).title().replace("_", "")


def _key(sample: Sample) -> tuple[str, ...]:
    return (sample.metric.name, *sample.labels.values())
