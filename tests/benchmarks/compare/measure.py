"""Measure a command: wall time, CPU time and memory of all its processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

LAUNCH = Path(__file__).with_name("launch.py")
SAMPLE_S = 0.2
MEMORY_SAMPLE_S = 0.5
MAX_MEMORY_SHARE = 0.05
"""Share of a core that measuring memory may take from the command."""
LEAVE_S = 20.0
"""Seconds that the processes of a command have to end after the command."""
_SIGCHLD_BIT = 1 << (signal.SIGCHLD - 1)


@dataclass(frozen=True)
class Usage:
    """What a command used.

    Args:
        began_at: Start, in seconds since the epoch.
        wall_s: Seconds until its first process ended.
        exit_code: Exit code of that process; negative: the signal that ended it.
        cpu_s: CPU seconds of all processes.
        pss_mb: Largest proportional set size of all processes together, in MB. Memory that
            processes share is counted once.
        processes: Largest number of processes at a time.
        ended_late: Number of processes that were killed `LEAVE_S` after the command.
    """

    began_at: float
    wall_s: float
    exit_code: int
    cpu_s: float
    pss_mb: float
    processes: int
    ended_late: int


class Command:
    """A command that runs, with a thread that samples its processes.

    Args:
        command: The command.
        folder: Its working directory.
        environment: Its environment variables.
        output: File that gets what it prints.
    """

    def __init__(
        self, command: Sequence[str], folder: Path, environment: Mapping[str, str], output: Path
    ) -> None:
        self._events = folder / f"events-{uuid.uuid4().hex}.jsonl"
        self._events.touch()
        with output.open("ab") as log:
            self._launcher = subprocess.Popen(
                [sys.executable, "-I", "-S", str(LAUNCH), str(self._events), *command],
                cwd=folder,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C must not end the process that adopts the others
            )
        self._lost_cpu_s: dict[tuple[int, float], float] = {}
        self._pss_bytes = 0
        self._processes = 0
        self._is_over = threading.Event()
        self._sampler = threading.Thread(target=self._sample, daemon=True)
        self._sampler.start()

    @property
    def is_running(self) -> bool:
        """Whether the first process runs."""
        return self._launcher.poll() is None and "wall_s" not in self._read_events()

    def kill_first_process(self) -> None:
        """Send SIGKILL to the first process only, as the kernel does when memory is short."""
        while "pid" not in self._read_events():
            time.sleep(0.01)
        with suppress(ProcessLookupError):
            os.kill(int(self._read_events()["pid"]), signal.SIGKILL)

    def wait(self, timeout_s: float) -> Usage:
        """Wait until no process is left; processes that stay are killed.

        Args:
            timeout_s: Seconds until the whole command is killed.
        """
        try:
            deadline = time.monotonic() + timeout_s
            while self.is_running and time.monotonic() < deadline:
                time.sleep(0.02)
            deadline = time.monotonic() + (0 if self.is_running else LEAVE_S)
            while self._launcher.poll() is None and time.monotonic() < deadline:
                time.sleep(0.02)
        finally:
            ended_late = self._kill_all()
            self._is_over.set()
            self._sampler.join()
        events = self._read_events()
        self._events.unlink()
        return Usage(
            began_at=events["began_at"],
            wall_s=events["wall_s"],
            exit_code=os.waitstatus_to_exitcode(int(events["status"])),
            cpu_s=events["cpu_s"] + sum(self._lost_cpu_s.values()),
            pss_mb=self._pss_bytes / 1e6,
            processes=self._processes,
            ended_late=ended_late,
        )

    def _kill_all(self) -> int:
        """Kill the processes that are left; return their number."""
        killed: set[int] = set()
        while self._launcher.poll() is None:
            for process in self._descendants():
                killed.add(process.pid)
                with suppress(psutil.Error):
                    process.kill()
            time.sleep(0.1)
        return len(killed)

    def _read_events(self) -> dict[str, Any]:
        events: dict[str, Any] = {}
        for line in self._events.read_text(encoding="utf-8").splitlines(keepends=True):
            if line.endswith("\n"):
                events.update(json.loads(line))
        return events

    def _descendants(self) -> list[psutil.Process]:
        try:
            return psutil.Process(self._launcher.pid).children(recursive=True)
        except psutil.Error:
            return []

    def _sample(self) -> None:
        memory_at = 0.0
        while not self._is_over.wait(SAMPLE_S):
            processes = self._descendants()
            self._processes = max(self._processes, len(processes))
            for process in processes:
                self._count_lost(process)
            if time.monotonic() >= memory_at:
                began = time.monotonic()
                pss_bytes = sum(read_pss(process.pid) for process in processes)
                self._pss_bytes = max(self._pss_bytes, pss_bytes)
                took = time.monotonic() - began
                memory_at = began + max(MEMORY_SAMPLE_S, took / MAX_MEMORY_SHARE)

    def _count_lost(self, process: psutil.Process) -> None:
        """Remember the CPU time of a process whose parent will not receive it."""
        with suppress(psutil.Error):
            key = (process.pid, process.create_time())
            if ignores_children(process.ppid()):
                self._lost_cpu_s[key] = sum(process.cpu_times()[:4])
            else:  # its parent was replaced by the launcher, which waits for it
                self._lost_cpu_s.pop(key, None)


def ignores_children(pid: int) -> bool:
    """Whether a process ignores SIGCHLD, so that the kernel drops the CPU time of its children."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("SigIgn:"):
                return bool(int(line.split()[1], 16) & _SIGCHLD_BIT)
    return False


def read_pss(pid: int) -> int:
    """Return the proportional set size of a process in bytes; 0 if it has ended."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8").splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0
