"""Everything a command starts, found by a mark in its environment, and what memory it takes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil
from report import ROOT

MARK = "RAYPIPE_BENCH_MARK"


def environment(**more: str) -> dict[str, str]:
    """Return the environment of a command that runs this checkout from another folder."""
    return {**os.environ, "PYTHONPATH": str(ROOT), **more}


def process_long_texts_here() -> None:
    """Clean and split long texts in this process, where their CPU seconds are measured."""
    import raypipe.text.cleaner
    import raypipe.text.sentences

    raypipe.text.cleaner.LONG_TEXT = raypipe.text.sentences.LONG_TEXT = sys.maxsize


class Watched:
    """Run a command and sample memory and CPU of all that it starts, twice a second.

    Memory is PSS: what processes share (Ray's object store, libraries) is counted once. The CPU
    time of a process lacks its last half second.

    Args:
        command: What to run.
        cwd: Where.
        env: Its environment; a mark is added by which its children are known.
    """

    def __init__(self, command: Sequence[str], cwd: Path, env: Mapping[str, str]) -> None:
        self._mark = uuid.uuid4().hex
        self._over = threading.Event()
        self.peak_bytes = 0
        self.peak_processes: dict[str, int] = {}
        self._cpu: dict[int, tuple[str, float]] = {}
        self.process = subprocess.Popen(
            command,
            cwd=cwd,
            env={**env, MARK: self._mark},
            stdout=subprocess.PIPE,
            text=True,
        )
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def wait(self) -> str:
        """Wait for the end; returns what it printed.

        Raises:
            RuntimeError: It failed.
        """
        out, _ = self.process.communicate()
        self._over.set()
        self._thread.join()
        if self.process.returncode != 0:
            raise RuntimeError(f"exit {self.process.returncode}: {out[-2000:]}")
        return out

    def alive(self) -> list[psutil.Process]:
        """Return the processes that bear the mark."""
        return marked_processes(self._mark)

    def cpu_seconds(self, name: str) -> float:
        """Return the CPU seconds of the processes whose name begins so."""
        return sum(seconds for known, seconds in self._cpu.values() if known.startswith(name))

    def _sample(self) -> None:
        while not self._over.wait(0.5):
            sizes: dict[str, int] = {}
            for process in self.alive():
                name = _name(process)
                sizes[name] = sizes.get(name, 0) + _pss(process.pid)
                with suppress(psutil.Error):
                    times = process.cpu_times()
                    self._cpu[process.pid] = name, times.user + times.system
            if sum(sizes.values()) > self.peak_bytes:
                self.peak_bytes, self.peak_processes = sum(sizes.values()), sizes


def marked_processes(mark: str) -> list[psutil.Process]:
    """Return the processes that have this mark in their environment."""
    marked = f"{MARK}={mark}".encode()
    return [process for process in psutil.process_iter() if _has(process.pid, marked)]


def _has(pid: int, marked: bytes) -> bool:
    try:
        return marked in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False


def _pss(pid: int) -> int:
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass  # it has ended meanwhile
    return 0


def _name(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.Error:
        return "ended"
