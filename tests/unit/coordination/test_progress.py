from __future__ import annotations

import logging
import threading
import time
from functools import partial

import pytest

from raypipe.coordination import progress
from raypipe.coordination.counts import Progress
from raypipe.coordination.forecast import Forecast, Outlook
from raypipe.coordination.process_meter import ProcessMeter, ResourceUsage
from raypipe.coordination.progress import watch
from raypipe.coordination.progress_line import format_progress
from raypipe.core.units import format_short_duration


class FakeCoordinator:
    """A coordinator that records the stop reason."""

    def __init__(self) -> None:
        self.stopped = threading.Event()
        self.reason = ""

    def progress(self) -> Progress:
        return Progress(done=3, failed=1, stop_reason=self.reason)

    def stop(self, reason: str) -> None:
        self.reason = reason
        self.stopped.set()


def test_a_line_shows_done_failed_left_rate_and_time_to_go() -> None:
    outlook = Outlook(books_per_s=2.0, eta_s=100.0, limit="compute")
    line = format_progress(Progress(done=90, failed=10), 300, outlook)
    assert line == "done 90 · failed 10 · left 200 · 2.0 books/s · ETA 1m40s"


def test_without_a_rate_the_time_to_go_is_unknown() -> None:
    assert format_progress(Progress(), 5, Outlook()).endswith("ETA unknown")


def test_a_line_shows_memory_and_cpu_in_use() -> None:
    outlook = Outlook(books_per_s=1.7, eta_s=0.0)
    line = format_progress(Progress(done=25), 25, outlook, ResourceUsage(1_440_000_000, 1.804))
    assert line == "done 25 · failed 0 · left 0 · 1.7 books/s · ETA 0s · 1.4 GB · CPU 180 %"


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.4, "0s"), (59.4, "59s"), (185, "3m05s"), (7620, "2h07m"), (273600, "3d04h")],
)
def test_durations_show_their_two_largest_units(seconds: float, expected: str) -> None:
    assert format_short_duration(seconds) == expected


def test_a_stop_request_reaches_the_coordinator_with_its_reason() -> None:
    coordinator, requested = FakeCoordinator(), threading.Event()
    with watch(coordinator, Forecast(10), {"asked to stop": requested}, ProcessMeter()):
        requested.set()
        assert coordinator.stopped.wait(60)
    assert coordinator.reason == "asked to stop"


def test_the_last_line_shows_the_final_numbers(caplog: pytest.LogCaptureFixture) -> None:
    meter = ProcessMeter()
    with (
        caplog.at_level(logging.INFO, logger="raypipe"),
        watch(FakeCoordinator(), Forecast(4), {}, meter),
    ):
        pass
    assert caplog.messages[-1].startswith("done 3 · failed 1 · left 0")


def test_work_that_outlasts_the_grace_after_a_stop_times_out_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(progress, "STOP_GRACE_S", 0.1)
    requested, timeouts = threading.Event(), list[int]()
    stops = {"asked to stop": requested}
    on_timeout = partial(timeouts.append, 1)
    with watch(FakeCoordinator(), Forecast(10), stops, ProcessMeter(), on_timeout):
        requested.set()
        started = time.monotonic()
        while not timeouts and time.monotonic() - started < 30:
            time.sleep(0.05)
        time.sleep(0.6)
    assert len(timeouts) == 1
