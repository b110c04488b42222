"""Log the progress of a run, and pass stop requests on to its coordinator."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from raypipe.coordination.counts import FailureExample, Progress
from raypipe.coordination.forecast import Forecast, Outlook
from raypipe.coordination.process_meter import ProcessMeter, ResourceUsage
from raypipe.coordination.progress_line import format_progress
from raypipe.core.stop import describe_stop

log = logging.getLogger(__name__)

LOG_EVERY_S = 4.0
"""Seconds between two progress lines; with a tick and a reading, they are at most 5 s apart."""
FIRST_LOG_S = 1.0
MAX_LOGGED = 3
"""Failed books of a kind that are logged; the ledger has all of them."""
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


@dataclass(frozen=True)
class Snapshot:
    """The state of a run at a moment.

    Args:
        progress: The counts.
        total: Number of books in the run.
        outlook: Rates and the time to go.
        usage: Memory and CPU in use; None if unknown.
        ended: Whether all books are processed, or the run has stopped.
    """

    progress: Progress
    total: int
    outlook: Outlook
    usage: ResourceUsage | None = None
    ended: bool = False

    def describe(self) -> dict[str, Any]:
        """Return the numbers as JSON values, with null for what is unknown."""
        progress, outlook = self.progress, self.outlook
        eta = outlook.eta_s
        return {
            "todo": self.total,
            "done": progress.done,
            "failed": progress.failed,
            "left": progress.books_left(self.total),
            "stages": {
                stage: {"books": books, "bytes": size}
                for stage, books, size in progress.stage_books
            },
            "calls": progress.calls,
            "estimated_calls": outlook.estimated_calls,
            "tokens": {"input": progress.input_tokens, "output": progress.output_tokens},
            "usd": round(progress.usd, 6),
            "rate_per_s": round(outlook.books_per_s, 3),
            "calls_per_s": round(outlook.calls_per_s, 3),
            "eta_s": None if eta is None else round(eta, 1),
            "limit": outlook.limit,
            "memory_bytes": self.usage.memory if self.usage else None,
            "throttled": progress.throttled,
            "bulk": {"requests": progress.bulk_requests, "documents": progress.bulk_documents},
            "stop_reason": progress.stop_reason,
            "failures": dict(progress.failures),
        }


class ProgressView(Protocol):
    """Shows the progress of a run, such as a live display or a file."""

    @property
    def every_s(self) -> float:
        """Return the seconds between two calls of `show`."""

    def show(self, snapshot: Snapshot) -> None:
        """Show the state of the run. The last call has `snapshot.ended`."""


@dataclass
class ProgressLog:
    """Logs a progress line."""

    every_s: float = LOG_EVERY_S

    def show(self, snapshot: Snapshot) -> None:
        """Log the line."""
        line = format_progress(snapshot.progress, snapshot.total, snapshot.outlook, snapshot.usage)
        log.info("%s", line, extra={"progress": snapshot.describe()})


@contextmanager
def watch(
    coordinator: ProgressSource,
    forecast: Forecast,
    stops: dict[str, threading.Event],
    meter: ProcessMeter,
    on_timeout: Callable[[], None] = lambda: None,
    views: Sequence[ProgressView] = (),
) -> Iterator[None]:
    """Show progress and pass stop requests on, in a thread, until the block ends.

    Args:
        coordinator: The run's coordinator.
        forecast: Forecasts the end of the run.
        stops: The stop reason, and the event that requests this stop.
        meter: Measures the memory and CPU in use.
        on_timeout: Called once if the block has not ended `STOP_GRACE_S` after a stop request.
        views: Show the progress; none stands for a `ProgressLog`. A view that fails is dropped.
    """
    for reason, event in stops.items():
        if event.is_set():  # before a book is started
            coordinator.stop(describe_stop(reason, event))
    watcher = _Watcher(coordinator, forecast, dict(stops), meter, on_timeout, views)
    thread = threading.Thread(target=watcher.run, daemon=True)
    thread.start()
    completed = False
    try:
        yield
        completed = True
    finally:
        watcher.ended.set()
        thread.join(timeout=10)
        if completed:
            watcher.show(coordinator.progress(), ended=True)
        else:  # what ended the block is the news, not a coordinator that cannot be reached
            with suppress(Exception):
                watcher.show(coordinator.progress(), ended=True)


class _Watcher:
    """Looks at a run in a thread."""

    def __init__(
        self,
        coordinator: ProgressSource,
        forecast: Forecast,
        stops: dict[str, threading.Event],
        meter: ProcessMeter,
        on_timeout: Callable[[], None],
        views: Sequence[ProgressView],
    ) -> None:
        self.ended = threading.Event()
        self._coordinator = coordinator
        self._forecast = forecast
        self._stops = stops
        self._meter = meter
        self._on_timeout = on_timeout
        first = time.monotonic() + FIRST_LOG_S
        self._views = list(views or [ProgressLog()])
        self._shown_at = {id(view): first - view.every_s for view in self._views}
        self._examples = ExampleLog()

    def run(self) -> None:
        """Watch until the run has ended."""
        logged_reason, deadline = "", float("inf")
        self._forecast.update(self._coordinator.progress(), time.monotonic())
        while not self.ended.wait(_TICK_S):
            for reason in [reason for reason, event in self._stops.items() if event.is_set()]:
                self._coordinator.stop(describe_stop(reason, self._stops.pop(reason)))
                deadline = min(deadline, time.monotonic() + STOP_GRACE_S)
            if time.monotonic() > deadline:
                deadline = float("inf")
                self._on_timeout()
            progress = self._coordinator.progress()
            if progress.stop_reason and progress.stop_reason != logged_reason:
                logged_reason = progress.stop_reason
                log.warning("stopping: %s; finishing the books that were started", logged_reason)
            self.show(progress)

    def show(self, progress: Progress, *, ended: bool = False) -> None:
        """Show the progress in the views that are due; in all at the end."""
        self._examples.log(progress.examples)
        now = time.monotonic()
        due = [
            view for view in self._views if ended or now - self._shown_at[id(view)] >= view.every_s
        ]
        if not due:
            return
        outlook = self._forecast.update(progress, now)
        snapshot = Snapshot(progress, self._forecast.books, outlook, self._meter.read(), ended)
        for view in due:
            self._shown_at[id(view)] = now
            try:
                view.show(snapshot)
            except Exception as error:
                self._views.remove(view)
                log.warning("progress is not shown any more by %s: %s", type(view).__name__, error)


@dataclass
class ExampleLog:
    """Logs failed books as they come: a few of each kind, all others are counted only."""

    _logged: Counter[str] = field(default_factory=Counter)
    _last: int = 0

    def log(self, examples: Sequence[FailureExample]) -> None:
        """Log the failed books that are new."""
        for example in examples:
            if example.number > self._last:
                self._last = example.number
                self._logged[example.kind] += 1
                is_shown = self._logged[example.kind] <= MAX_LOGGED
                log.log(
                    logging.WARNING if is_shown else logging.DEBUG,
                    "failed (%s): %s",
                    example.kind,
                    example.message,
                    extra={"key": example.key, "stage": example.stage, "kind": example.kind},
                )


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
