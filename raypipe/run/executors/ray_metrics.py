"""Set the metrics of a run in Ray, whose agent on each node exports them to Prometheus.

The driver sets them from the progress that it reads anyway: workers and the coordinator do nothing
for metrics. It also knows the costs, the quota and the memory, which the coordinator does not.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Mapping
from typing import Any

from raypipe.coordination.progress import Snapshot
from raypipe.core.errors import SetupError
from raypipe.metrics.catalog import METRICS, RUN, Metric, read_samples

log = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
EVERY_S = 5.0
"""Seconds between two updates; Ray sends metrics to its agents every 10 s
(`metrics_report_interval_ms`)."""


class RayMetrics:
    """Shows the progress of a run as metrics of Ray.

    Args:
        run_id: The run; the label `run_id` of each metric.
    """

    every_s = EVERY_S

    def __init__(self, run_id: str) -> None:
        self._run_id = run_id
        self._metrics = {metric.name: _create(metric) for metric in METRICS}
        self._counted: dict[tuple[str, ...], float] = {}  # by metric and values of its labels

    def show(self, snapshot: Snapshot) -> None:
        """Set the gauges, and add to the counters what is new."""
        for sample in read_samples(snapshot):
            metric, tags = sample.metric, {**sample.labels, RUN: self._run_id}
            if metric.kind == "gauge":
                self._metrics[metric.name].set(sample.value, tags)
            else:
                self._count(metric, sample.value, tags)

    def _count(self, metric: Metric, total: float, tags: Mapping[str, str]) -> None:
        key = (metric.name, *tags.values())
        new = total - self._counted.get(key, 0.0)
        # A call whose result was unknown is counted again, so a sum can fall by a little.
        if new > 0:
            self._counted[key] = total
            self._metrics[metric.name].inc(new, tags)


def _create(metric: Metric) -> Any:
    from ray.util.metrics import Counter, Gauge

    create = Counter if metric.kind == "counter" else Gauge
    return create(metric.name, metric.description, (*metric.labels, RUN))


def check_metrics_port(port: int) -> None:
    """Check that a local Ray can show its metrics at a port.

    Args:
        port: The port; 0 for a free port.

    Raises:
        SetupError: The port is in use, or Ray's agent lacks a package.
    """
    from ray._private.utils import get_dashboard_dependency_error

    option = f"ray.metrics_port={port}"
    if (missing := get_dashboard_dependency_error()) is not None:
        raise SetupError(
            f"{option}: Ray's agent lacks a package ({missing}). "
            "Fix: pip install 'raypipe[embedded]'"
        )
    try:
        with socket.socket() as server:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind((LOOPBACK, port))
    except OSError as error:
        raise SetupError(
            f"{option}: the port cannot be used ({error.strerror}). Fix: give another port, or 0 "
            "for a free port"
        ) from None


def log_metrics_address() -> None:
    """Log where Prometheus finds the metrics of the local Ray of this process."""
    from ray._private import worker

    node = worker.global_worker.node
    if node is not None:
        log.info(
            "metrics for Prometheus are at http://%s:%s/metrics, without a password",
            LOOPBACK,
            node.metrics_export_port,
        )
