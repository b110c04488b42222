from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from raypipe.coordination.process_meter import ProcessMeter

CHILD = """
import os, sys, time
memory = bytearray(100_000_000)
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
    """Run a child process named like Ray's node process; it uses memory and CPU."""
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


def test_memory_and_cpu_of_child_processes_count(raylet: subprocess.Popen[str]) -> None:
    meter, started = ProcessMeter(), time.monotonic()
    assert raylet.stdout is not None
    assert raylet.stdout.readline() == "done\n"
    usage = meter.read()
    seconds = time.monotonic() - started
    assert usage is not None
    # The process and its fork both map the 100 MB, but memory holds them only once.
    children = usage.memory - psutil.Process().memory_full_info().pss
    assert 100_000_000 <= children <= 180_000_000
    # It used one second of CPU; a slow machine stretches the time, not the work.
    assert usage.cpu * seconds == pytest.approx(1.0, abs=0.5)
    assert (idle := meter.read()) is not None
    assert idle.memory == pytest.approx(usage.memory, rel=0.1)


def test_on_a_cluster_nothing_is_reported() -> None:
    assert ProcessMeter().read() is None  # no raylet among our processes
