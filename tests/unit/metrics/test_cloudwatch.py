"""Metrics in CloudWatch, with moto in this process."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from raypipe.core.errors import SetupError
from raypipe.metrics import cloudwatch
from raypipe.metrics.catalog import METRICS
from raypipe.metrics.cloudwatch import UNITS, CloudWatchMetrics, CloudWatchWatcher
from tests.unit.metrics.snapshots import FULL


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name, value in {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "eu-west-1",
    }.items():
        monkeypatch.setenv(name, value)
    with mock_aws():
        yield boto3.client("cloudwatch", "eu-west-1")


class CountingClient:
    """Passes requests on, or refuses them."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.requests: list[list[dict[str, Any]]] = []
        self.refuses = False

    def put_metric_data(self, **request: Any) -> None:
        if self.refuses:
            details = {"Code": "AccessDenied", "Message": "no"}
            raise ClientError({"Error": details}, "PutMetricData")
        self.requests.append(request["MetricData"])
        self.client.put_metric_data(**request)


def counting_watcher(aws: Any) -> tuple[CloudWatchWatcher, CountingClient]:
    watcher = CloudWatchMetrics("books").watcher()
    watcher._client = client = CountingClient(aws)
    return watcher, client


def value(data: list[dict[str, Any]], name: str, **dimensions: str) -> Any:
    wanted = [{"Name": key, "Value": text} for key, text in dimensions.items()]
    (found,) = [
        datum["Value"]
        for datum in data
        if datum["MetricName"] == name and datum["Dimensions"] == wanted
    ]
    return found


def test_the_metrics_arrive(aws: Any) -> None:
    watcher = CloudWatchMetrics("books").watcher()
    watcher.follow("r1").show(FULL)
    watcher.wait(60)
    listed = aws.list_metrics(Namespace="books")["Metrics"]
    assert {metric["MetricName"] for metric in listed} == set(
        map(cloudwatch.cloudwatch_name, UNITS)
    )
    assert {"Name": "Outcome", "Value": "failed"} in [
        dimension for metric in listed for dimension in metric["Dimensions"]
    ]


def test_counters_are_put_as_what_is_new(aws: Any) -> None:
    watcher, client = counting_watcher(aws)
    more = replace(FULL, progress=replace(FULL.progress, done=11))
    for snapshot in (FULL, more):
        watcher.show(snapshot)
        watcher.wait(60)
    first, second = client.requests
    assert value(first, "Books", Outcome="done") == 8
    assert value(second, "Books", Outcome="done") == 3
    assert value(second, "Books", Outcome="failed") == 0
    assert value(second, "BooksLeft") == 17
    assert value(second, "Stopping", Reason="breaker") == 1


def test_nothing_is_lost_while_cloudwatch_refuses(
    aws: Any, caplog: pytest.LogCaptureFixture
) -> None:
    watcher, client = counting_watcher(aws)
    client.refuses = True
    for _ in range(2):
        watcher.show(FULL)
    watcher.wait(60)
    client.refuses = False
    watcher.show(FULL)
    watcher.wait(60)
    assert value(client.requests[0], "Books", Outcome="done") == 8
    warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [record.getMessage() for record in warnings] == [
        "cloudwatch: not sent: AccessDenied: no; these credentials need "
        "cloudwatch:PutMetricData, see docs/iam.md"
    ]


def test_requests_have_at_most_the_allowed_number(
    aws: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cloudwatch, "MAX_PER_REQUEST", 10)
    watcher, client = counting_watcher(aws)
    watcher.show(FULL)
    watcher.wait(60)
    assert [len(data) for data in client.requests[:-1]] == [10] * (len(client.requests) - 1)
    assert len(client.requests) > 1


def test_every_metric_that_is_put_is_declared() -> None:
    assert set(UNITS) <= set(METRICS)


@pytest.mark.parametrize("settings", [{"namespace": "AWS/S3"}, {"namespace": ""}, {"every_s": 1}])
def test_a_wrong_setting_is_refused(settings: dict[str, Any]) -> None:
    (name,) = settings
    with pytest.raises(ValueError, match=f"^{name}="):
        CloudWatchMetrics(**settings)


def test_missing_credentials_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("botocore.session.Session.get_credentials", lambda self: None)
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    with pytest.raises(SetupError, match=r"^cloudwatch=metrics: there are no credentials; set"):
        CloudWatchMetrics().check_setup()
