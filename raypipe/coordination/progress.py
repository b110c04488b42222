"""Plain progress lines while a run goes on, and the thread that carries a stop to the workers."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import psutil

from raypipe.coordination.run_coordinator import Progress

log = logging.getLogger(__name__)

EVERY_S = 5.0
_TICK_S = 0.25
LAST_S = 20.0
"""Seconds that books which are begun have to end after a stop; what has not ended then is left.
With what follows (the record, Ray's own end: 2 to 6 s on 2 cores) a run ends within 30 s."""


class Watched(Protocol):
    """What the watcher asks of the monitor."""

    def progress(self) -> Progress:
        """Return the numbers so far."""

    def stop(self, reason: str) -> None:
        """Let nothing new begin."""


@contextmanager
def watch(
    monitor: Watched,
    total: int,
    stops: dict[str, threading.Event],
    late: Callable[[], None] = lambda: None,
    every: float = EVERY_S,
) -> Iterator[None]:
    """Log progress and pass stops on until the block ends.

    Args:
        monitor: The run's monitor.
        total: Books that the run takes.
        stops: What to say of the stop, and the event that asks for it.
        late: Called once if the block has not ended `LAST_S` after such an event.
        every: Seconds between two lines.
    """
    over, began, meter = threading.Event(), time.monotonic(), Meter()
    thread = threading.Thread(
        target=_watch, args=(monitor, total, dict(stops), late, every, over, meter), daemon=True
    )
    thread.start()
    try:
        yield
        used = meter.read()
        log.info("%s", line(monitor.progress(), total, time.monotonic() - began, used))
    finally:
        over.set()
        thread.join(timeout=10)


def _watch(
    monitor: Watched,
    total: int,
    stops: dict[str, threading.Event],
    late: Callable[[], None],
    every: float,
    over: threading.Event,
    meter: Meter,
) -> None:
    began = last = time.monotonic()
    told, last_at = "", float("inf")
    while not over.wait(_TICK_S):
        for reason in [reason for reason, event in stops.items() if event.is_set()]:
            del stops[reason]
            monitor.stop(reason)
            last_at = min(last_at, time.monotonic() + LAST_S)
        if time.monotonic() > last_at:
            last_at = float("inf")
            late()
        progress = monitor.progress()
        if progress.stop and progress.stop != told:
            told = progress.stop
            log.warning("stopping: %s; finishing the books that are begun", told)
        now = time.monotonic()
        if now - last >= every:
            last = now
            log.info("%s", line(progress, total, now - began, meter.read()))


@contextmanager
def every(seconds: float, work: Callable[[], None]) -> Iterator[None]:
    """Do some work again and again, in a thread, until the block ends; trouble is logged."""
    over = threading.Event()

    def loop() -> None:
        while not over.wait(seconds):
            try:
                work()
            except Exception as error:
                log.warning("house-keeping: %s", error)

    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


_Who = tuple[int, float]
"""A process: its id, which is used again and again, and when it began."""


@dataclass(frozen=True, slots=True)
class InUse:
    """What the run takes of this machine.

    Args:
        memory: Bytes.
        cpu: Cores, on average since the last reading.
    """

    memory: int
    cpu: float


@dataclass
class Meter:
    """Memory and CPU of this process and all below it, Ray's among them.

    Memory is PSS: what processes share is counted once. Ray's dashboard alone forks half a
    gigabyte of shared pages. To read it takes the kernel 4 ms a process, so it is read when a
    process is new or has changed by a fifth; between, its private pages tell how it grows.
    """

    _seconds: dict[_Who, float] = field(default_factory=dict)
    _sizes: dict[_Who, tuple[int, int]] = field(default_factory=dict)  # private, PSS when read
    _at: float = field(default_factory=time.monotonic)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        """Start to count: what was used before is not shown."""
        self.read()

    def read(self) -> InUse | None:
        """Return what is in use, or None where Ray's processes are not ours: on a cluster."""
        with self._lock:
            return self._read()

    def _read(self) -> InUse | None:
        memory, local = 0, False
        seconds: dict[_Who, float] = {}
        sizes: dict[_Who, tuple[int, int]] = {}
        me = psutil.Process()
        for process in [me, *me.children(recursive=True)]:
            try:
                with process.oneshot():
                    who = (process.pid, process.create_time())
                    taken, times = process.memory_info(), process.cpu_times()
                    local = local or process.name() == "raylet"
            except psutil.Error:
                continue  # it has ended meanwhile
            private = taken.rss - getattr(taken, "shared", 0)
            before, pss = self._sizes.get(who, (0, 0))
            if abs(private - before) > before / 5:
                before, pss = private, _pss(process.pid, otherwise=private)
            memory += max(pss + private - before, 0)
            sizes[who], seconds[who] = (before, pss), times.user + times.system
        now = time.monotonic()
        worked = sum(one - self._seconds.get(who, 0.0) for who, one in seconds.items())
        cpu = worked / max(now - self._at, 1e-3)
        self._seconds, self._sizes, self._at = seconds, sizes, now
        return InUse(memory, cpu) if local else None


def _pss(pid: int, otherwise: int) -> int:
    """Return a process's memory in bytes, its share of what it has in common with others."""
    try:
        rows = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return otherwise  # not Linux, or not ours to look into
    found = [row.split()[1] for row in rows if row.startswith("Pss:")]
    return int(found[0]) * 1024 if found else otherwise


def line(progress: Progress, total: int, seconds: float, used: InUse | None = None) -> str:
    """Return one progress line: books done, failed and left, rate, time to go, and what it takes.

    Args:
        progress: The run's numbers so far.
        total: Books that the run takes.
        seconds: Since it began.
        used: Memory and CPU in use, if known.
    """
    over = progress.done + progress.failed
    left = max(total - over, 0)
    rate = over / seconds if seconds > 0 else 0.0
    eta = duration(left / rate) if rate > 0 else "unknown" if left else "0s"
    told = (
        f"done {progress.done:,} · failed {progress.failed:,} · left {left:,} · "
        f"{rate:,.1f} books/s · ETA {eta}"
    )
    return f"{told} · {used.memory / 1e9:.1f} GB · CPU {used.cpu * 100:.0f} %" if used else told


def duration(seconds: float) -> str:
    """Return seconds as a person says them: 42s, 3m05s, 2h07m, 3d04h."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 86400}d{whole % 86400 // 3600:02d}h"
