"""Plain progress lines while a run goes on, and the thread that carries a stop to the workers."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from raypipe.monitor import Progress

log = logging.getLogger(__name__)

EVERY_S = 5.0
_TICK_S = 0.25


class Watched(Protocol):
    """What the watcher asks of the monitor."""

    def progress(self) -> Progress:
        """Return the numbers so far."""

    def stop(self, reason: str) -> None:
        """Let nothing new begin."""


@contextmanager
def watch(
    monitor: Watched, total: int, stops: dict[str, threading.Event], every: float = EVERY_S
) -> Iterator[None]:
    """Log progress and pass stops on until the block ends.

    Args:
        monitor: The run's monitor.
        total: Books that the run takes.
        stops: What to say of the stop, and the event that asks for it.
        every: Seconds between two lines.
    """
    over, began = threading.Event(), time.monotonic()
    thread = threading.Thread(
        target=_watch, args=(monitor, total, dict(stops), every, over), daemon=True
    )
    thread.start()
    try:
        yield
        log.info("%s", line(monitor.progress(), total, time.monotonic() - began))
    finally:
        over.set()
        thread.join(timeout=10)


def _watch(
    monitor: Watched,
    total: int,
    stops: dict[str, threading.Event],
    every: float,
    over: threading.Event,
) -> None:
    began = last = time.monotonic()
    told = ""
    while not over.wait(_TICK_S):
        for reason in [reason for reason, event in stops.items() if event.is_set()]:
            del stops[reason]
            monitor.stop(reason)
        progress = monitor.progress()
        if progress.stop and progress.stop != told:
            told = progress.stop
            log.warning("stopping: %s; finishing the books that are begun", told)
        now = time.monotonic()
        if now - last >= every:
            last = now
            log.info("%s", line(progress, total, now - began))


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


def line(progress: Progress, total: int, seconds: float) -> str:
    """Return one progress line: books done, failed and left, rate, and time to go."""
    over = progress.done + progress.failed
    left = max(total - over, 0)
    rate = over / seconds if seconds > 0 else 0.0
    eta = duration(left / rate) if rate > 0 else "unknown" if left else "0s"
    return (
        f"done {progress.done:,} · failed {progress.failed:,} · left {left:,} · "
        f"{rate:,.1f} books/s · ETA {eta}"
    )


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
