"""A command is measured with all its processes, also those that outlive their parents."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.benchmarks.compare.measure import Command, Usage

CPU_S = 0.3
BURN = f"import time\nwhile time.process_time() < {CPU_S}: pass"
START = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {BURN!r}])"
IGNORE_CHILDREN = "import signal, time; signal.signal(signal.SIGCHLD, signal.SIG_IGN)"


def measure(folder: Path, code: str, timeout_s: float = 60.0) -> Usage:
    command = Command([sys.executable, "-c", code], folder, os.environ, folder / "output.txt")
    return command.wait(timeout_s)


def test_the_time_of_an_orphan_is_counted(tmp_path: Path) -> None:
    usage = measure(tmp_path, START)
    assert usage.exit_code == 0
    assert usage.cpu_s == pytest.approx(CPU_S, abs=CPU_S / 2)


def test_the_time_of_a_child_is_counted_whose_parent_ignores_children(tmp_path: Path) -> None:
    usage = measure(tmp_path, f"{IGNORE_CHILDREN}\n{START}\ntime.sleep({5 * CPU_S})")
    assert usage.cpu_s > CPU_S / 3, "sampled, so the last moments are missing"
    assert usage.processes == 2
    assert usage.pss_mb > 1


def test_a_command_that_takes_too_long_is_killed(tmp_path: Path) -> None:
    usage = measure(tmp_path, "import time; time.sleep(600)", timeout_s=0.5)
    assert (usage.exit_code, usage.ended_late) == (-9, 1)


def test_only_the_first_process_is_killed(tmp_path: Path) -> None:
    command = Command(
        [sys.executable, "-c", f"{START}\nimport time; time.sleep(600)"],
        tmp_path, os.environ, tmp_path / "output.txt",
    )  # fmt: skip
    command.kill_first_process()
    usage = command.wait(60.0)
    assert (usage.exit_code, usage.ended_late) == (-9, 0)
