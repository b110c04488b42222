from __future__ import annotations

import logging
import threading

import pytest

from raypipe.monitor import Progress
from raypipe.progress import duration, line, watch


class Told:
    """A monitor that remembers what it was told."""

    def __init__(self) -> None:
        self.stopped = threading.Event()
        self.reason = ""

    def progress(self) -> Progress:
        return Progress(done=3, failed=1, stop=self.reason)

    def stop(self, reason: str) -> None:
        self.reason = reason
        self.stopped.set()


def test_a_line_tells_done_failed_left_rate_and_time_to_go() -> None:
    told = line(Progress(done=90, failed=10), total=300, seconds=50.0)
    assert told == "done 90 · failed 10 · left 200 · 2.0 books/s · ETA 1m40s"


def test_without_a_rate_the_time_to_go_is_unknown() -> None:
    assert line(Progress(), total=5, seconds=1.0).endswith("ETA unknown")


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.4, "0s"), (59.4, "59s"), (185, "3m05s"), (7620, "2h07m"), (273600, "3d04h")],
)
def test_durations_are_said_as_people_do(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_a_stop_reaches_the_monitor_with_its_reason() -> None:
    monitor, asked = Told(), threading.Event()
    with watch(monitor, 10, {"asked to stop": asked}):
        asked.set()
        assert monitor.stopped.wait(10)
    assert monitor.reason == "asked to stop"


def test_the_last_line_tells_the_final_numbers(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="raypipe"), watch(Told(), 4, {}):
        pass
    assert caplog.messages[-1].startswith("done 3 · failed 1 · left 0")
