from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from raypipe.coordination import progress
from raypipe.coordination.progress import InUse, Meter, duration, line, watch
from raypipe.coordination.run_coordinator import Progress


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


def test_a_line_tells_memory_and_cpu_in_use() -> None:
    told = line(Progress(done=25), 25, 15.0, InUse(1_440_000_000, 1.804))
    assert told == "done 25 · failed 0 · left 0 · 1.7 books/s · ETA 0s · 1.4 GB · CPU 180 %"


CHILD = """
import os, sys, time
held = bytearray(100_000_000)
end = time.process_time() + 1.0
while time.process_time() < end:
    pass
if os.fork() == 0:
    sys.stdin.read()
    os._exit(0)
print("done", flush=True)
sys.stdin.read()
os.wait()
"""


@pytest.fixture
def raylet(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a child that Ray's node process is named after, with memory and CPU of its own."""
    name = tmp_path / "raylet"
    name.symlink_to(Path(sys.executable).resolve())
    with subprocess.Popen(
        [str(name), "-c", CHILD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        yield child
        assert child.stdin is not None
        child.stdin.close()


def test_memory_and_cpu_of_children_count(raylet: subprocess.Popen[str]) -> None:
    meter, began = Meter(), time.monotonic()
    assert raylet.stdout is not None
    assert raylet.stdout.readline() == "done\n"
    used = meter.read()
    seconds = time.monotonic() - began
    assert used is not None
    # 100 MB stand in a process and in its fork, but only once in memory.
    ours = used.memory - psutil.Process().memory_full_info().pss
    assert 100_000_000 <= ours <= 180_000_000
    # It burned a second; a slow machine stretches the time, not the work.
    assert used.cpu * seconds == pytest.approx(1.0, abs=0.5)
    assert (idle := meter.read()) is not None
    assert idle.memory == pytest.approx(used.memory, rel=0.1)


def test_on_a_cluster_nothing_is_claimed_of_other_nodes() -> None:
    assert Meter().read() is None  # no raylet of ours


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
        assert monitor.stopped.wait(60)
    assert monitor.reason == "asked to stop"


def test_the_last_line_tells_the_final_numbers(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="raypipe"), watch(Told(), 4, {}):
        pass
    assert caplog.messages[-1].startswith("done 3 · failed 1 · left 0")


def test_what_does_not_end_after_a_stop_is_told_so_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "LAST_S", 0.1)
    asked, late = threading.Event(), []
    with watch(Told(), 10, {"asked to stop": asked}, lambda: late.append(time.monotonic())):
        asked.set()
        began = time.monotonic()
        while not late and time.monotonic() - began < 30:
            time.sleep(0.05)
        time.sleep(0.6)
    assert len(late) == 1
