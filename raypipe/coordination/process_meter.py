"""Measure the memory and CPU that this process and its descendants use."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil

_ProcessId = tuple[int, float]
"""A process: its id, which the system reuses, and its creation time."""


@dataclass(frozen=True, slots=True)
class ResourceUsage:
    """What a run uses of this machine.

    Args:
        memory: Bytes.
        cpu: Cores, on average since the last reading.
    """

    memory: int
    cpu: float


@dataclass
class ProcessMeter:
    """Memory and CPU of this process and its descendants, Ray's processes included.

    Memory is PSS, which counts a page shared by several processes once: Ray's dashboard alone
    forks half a gigabyte of shared pages. Reading it takes the kernel 4 ms for each process, so
    it is read when a process is new or its private memory has changed by a fifth. In between, the
    change of its private memory is added.

    Args:
        uses_ray: Whether the run is on Ray, whose processes count only if it is on this machine.
    """

    uses_ray: bool = True
    _cpu_seconds: dict[_ProcessId, float] = field(default_factory=dict)
    _sizes: dict[_ProcessId, tuple[int, int]] = field(default_factory=dict)  # private, PSS
    _read_at: float = field(default_factory=time.monotonic)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        """Take a first reading: CPU time used before it does not count."""
        self.read()

    def read(self) -> ResourceUsage | None:
        """Return the usage, or None on a cluster, where Ray's node is not a descendant."""
        with self._lock:
            return self._read()

    def _read(self) -> ResourceUsage | None:
        memory, is_complete = 0, not self.uses_ray
        cpu_seconds: dict[_ProcessId, float] = {}
        sizes: dict[_ProcessId, tuple[int, int]] = {}
        this_process = psutil.Process()
        for process in [this_process, *this_process.children(recursive=True)]:
            try:
                with process.oneshot():
                    process_id = (process.pid, process.create_time())
                    info, times = process.memory_info(), process.cpu_times()
                    is_complete = is_complete or process.name() == "raylet"
            except psutil.Error:
                continue  # the process has ended meanwhile
            private = info.rss - getattr(info, "shared", 0)
            private_then, pss = self._sizes.get(process_id, (0, 0))
            if abs(private - private_then) > private_then / 5:
                private_then, pss = private, _read_pss(process.pid, default=private)
            memory += max(pss + private - private_then, 0)
            sizes[process_id] = (private_then, pss)
            cpu_seconds[process_id] = times.user + times.system
        now = time.monotonic()
        worked = sum(
            seconds - self._cpu_seconds.get(process_id, 0.0)
            for process_id, seconds in cpu_seconds.items()
        )
        cpu = worked / max(now - self._read_at, 1e-3)
        self._cpu_seconds, self._sizes, self._read_at = cpu_seconds, sizes, now
        return ResourceUsage(memory, cpu) if is_complete else None


def _read_pss(pid: int, default: int) -> int:
    """Return a process's proportional set size in bytes.

    Returns `default` where it cannot be read: not Linux, or another user's process.
    """
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return default
    sizes = [line.split()[1] for line in lines if line.startswith("Pss:")]
    return int(sizes[0]) * 1024 if sizes else default
