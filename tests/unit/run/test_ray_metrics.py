"""Metrics in Ray: what the driver sets, and the port for Prometheus."""

from __future__ import annotations

import logging
import socket
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from raypipe.core.errors import SetupError
from raypipe.core.options import RayOptions
from raypipe.metrics.catalog import METRICS
from raypipe.run.executors import ray_metrics
from raypipe.run.executors.ray_metrics import RayMetrics, check_metrics_port, log_metrics_address
from tests.unit.metrics.snapshots import FULL

Key = tuple[str, ...]


class Recorder:
    """Stands for `ray.util.metrics`: keeps the values by metric and labels."""

    def __init__(self) -> None:
        self.values: dict[Key, float] = {}

    def create(self, name: str, description: str, tag_keys: tuple[str, ...]) -> Any:
        def key(tags: dict[str, str]) -> Key:
            assert tuple(tags) == tag_keys
            assert description
            return (name, *tags.values())

        def set_value(value: float, tags: dict[str, str]) -> None:
            self.values[key(tags)] = value

        def add(value: float, tags: dict[str, str]) -> None:
            assert value > 0, "Ray refuses other increments"
            self.values[key(tags)] = self.values.get(key(tags), 0.0) + value

        return SimpleNamespace(set=set_value, inc=add)


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()
    monkeypatch.setattr("ray.util.metrics.Counter", recorder.create)
    monkeypatch.setattr("ray.util.metrics.Gauge", recorder.create)
    return recorder


def test_counters_and_gauges_have_the_values_of_the_run(recorder: Recorder) -> None:
    metrics = RayMetrics("r1")
    metrics.show(FULL)
    metrics.show(FULL)
    metrics.show(replace(FULL, progress=replace(FULL.progress, done=11, failed=1)))
    values = recorder.values
    assert values["raypipe_books", "done", "r1"] == 11
    assert values["raypipe_books", "failed", "r1"] == 2, "a counter does not fall"
    assert values["raypipe_books_left", "r1"] == 18
    assert values["raypipe_stopping", "breaker", "r1"] == 1.0
    counters = {metric.name for metric in METRICS if metric.kind == "counter"}
    assert counters <= {key[0] for key in values}


def test_a_port_in_use_is_one_line() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        with pytest.raises(
            SetupError, match=rf"^ray\.metrics_port={port}: the port cannot be used"
        ):
            check_metrics_port(port)
    check_metrics_port(port)
    check_metrics_port(0)


def test_a_missing_package_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    error = ImportError("No module named 'aiohttp'")
    monkeypatch.setattr("ray._private.utils.get_dashboard_dependency_error", lambda: error)
    with pytest.raises(SetupError, match=r"lacks a package .*pip install 'raypipe\[embedded\]'"):
        check_metrics_port(0)


def test_the_address_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from ray._private import worker

    caplog.set_level(logging.INFO, ray_metrics.__name__)
    node = SimpleNamespace(metrics_export_port=9464)
    monkeypatch.setattr(worker.global_worker, "node", node)
    log_metrics_address()
    assert caplog.messages == [
        "metrics for Prometheus are at http://127.0.0.1:9464/metrics, without a password"
    ]


@pytest.mark.parametrize("port", [-1, 65_536])
def test_a_wrong_port_is_refused(port: int) -> None:
    with pytest.raises(ValueError, match=rf"^metrics_port={port}: give 0 to 65535, or null"):
        RayOptions(metrics_port=port)
