"""Log the progress of a run, and pass stop requests on to its coordinator."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from raypipe.coordination.process_meter import ProcessMeter, ResourceUsage
from raypipe.coordination.run_coordinator import Progress
from raypipe.core.stop import describe_stop

log = logging.getLogger(__name__)

LOG_EVERY_S = 5.0
STOP_GRACE_S = 20.0
"""Seconds that started books have to finish after a stop; books that take longer are left.
With the steps that follow (the record, Ray's shutdown: 2 to 6 s on 2 cores) a run ends within
30 s."""
_TICK_S = 0.25


class ProgressSource(Protocol):
    """What `watch` needs of a coordinator."""

    def progress(self) -> Progress:
        """Return the counts so far."""

    def stop(self, reason: str) -> None:
        """Stop the run: no further book is started."""


@contextmanager
def watch(
    coordinator: ProgressSource,
    total: int,
    stops: dict[str, threading.Event],
    meter: ProcessMeter,
    on_timeout: Callable[[], None] = lambda: None,
    every: float = LOG_EVERY_S,
) -> Iterator[None]:
    """Log progress and pass stop requests on, in a thread, until the block ends.

    Args:
        coordinator: The run's coordinator.
        total: Number of books in the run.
        stops: The stop reason, and the event that requests this stop.
        meter: Measures the memory and CPU in use.
        on_timeout: Called once if the block has not ended `STOP_GRACE_S` after a stop request.
        every: Seconds between two progress lines.
    """
    ended, started = threading.Event(), time.monotonic()
    thread = threading.Thread(
        target=_watch,
        args=(coordinator, total, dict(stops), on_timeout, every, ended, meter),
        daemon=True,
    )
    for reason, event in stops.items():
        if event.is_set():  # before a book is started
            coordinator.stop(describe_stop(reason, event))
    thread.start()
    try:
        yield
        usage = meter.read()
        seconds = time.monotonic() - started
        log.info("%s", format_progress(coordinator.progress(), total, seconds, usage))
    finally:
        ended.set()
        thread.join(timeout=10)


def _watch(
    coordinator: ProgressSource,
    total: int,
    stops: dict[str, threading.Event],
    on_timeout: Callable[[], None],
    every: float,
    ended: threading.Event,
    meter: ProcessMeter,
) -> None:
    started = logged_at = time.monotonic()
    logged_reason, deadline = "", float("inf")
    while not ended.wait(_TICK_S):
        for reason in [reason for reason, event in stops.items() if event.is_set()]:
            coordinator.stop(describe_stop(reason, stops.pop(reason)))
            deadline = min(deadline, time.monotonic() + STOP_GRACE_S)
        if time.monotonic() > deadline:
            deadline = float("inf")
            on_timeout()
        progress = coordinator.progress()
        if progress.stop_reason and progress.stop_reason != logged_reason:
            logged_reason = progress.stop_reason
            log.warning("stopping: %s; finishing the books that were started", logged_reason)
        now = time.monotonic()
        if now - logged_at >= every:
            logged_at = now
            log.info("%s", format_progress(progress, total, now - started, meter.read()))


@contextmanager
def repeat_in_background(seconds: float, work: Callable[[], None]) -> Iterator[None]:
    """Call `work` at intervals, in a thread, until the block ends; log its errors.

    Args:
        seconds: Time between the end of a call and the next.
        work: Does the work; its exceptions do not end the block.
    """
    ended = threading.Event()

    def loop() -> None:
        while not ended.wait(seconds):
            try:
                work()
            except Exception as error:
                log.warning("background work failed, it is tried again later: %s", error)

    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def format_progress(
    progress: Progress, total: int, seconds: float, usage: ResourceUsage | None = None
) -> str:
    """Return a progress line: books done, failed and left, rate, time to go, memory and CPU.

    Args:
        progress: The run's counts so far.
        total: Number of books in the run.
        seconds: Seconds since the run started.
        usage: Memory and CPU in use, if known.
    """
    processed = progress.done + progress.failed
    left = max(total - processed, 0)
    rate = processed / seconds if seconds > 0 else 0.0
    eta = format_duration(left / rate) if rate > 0 else "unknown" if left else "0s"
    line = (
        f"done {progress.done:,} · failed {progress.failed:,} · left {left:,} · "
        f"{rate:,.1f} books/s · ETA {eta}"
    )
    return f"{line} · {usage.memory / 1e9:.1f} GB · CPU {usage.cpu * 100:.0f} %" if usage else line


def format_duration(seconds: float) -> str:
    """Return a duration in its two largest units: 42s, 3m05s, 2h07m, 3d04h."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 86400}d{whole % 86400 // 3600:02d}h"
