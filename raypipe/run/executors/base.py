"""What all executors share: the contract, and the supervision of a graph while it runs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from threading import Event
from typing import Protocol

from raypipe.coordination.background_work import BackgroundWork, StopTimeout
from raypipe.coordination.coordinator_handle import CoordinatorHandle
from raypipe.coordination.counts import Progress
from raypipe.coordination.process_meter import ProcessMeter
from raypipe.coordination.progress import (
    STOP_GRACE_S,
    ProgressView,
    repeat_in_background,
    watch,
)
from raypipe.core.stop import StopRequest
from raypipe.run.costs import (
    ConnectQuota,
    CostAwareCoordinator,
    CostTracker,
    connect_models,
)
from raypipe.run.forecast import start_forecast
from raypipe.run.job import ModelLimits
from raypipe.run.progress_file import ProgressFile
from raypipe.run.statistics_file import StatisticsFile
from raypipe.run.timer import StepTimer
from raypipe.run.work import Work

log = logging.getLogger(__name__)

COMPACT_INTERVAL_S = 60.0
_LOCK_LOST = "another run took the lock of this state"
_STOP_REQUESTED = "asked to stop"

ListenForStop = Callable[[], AbstractContextManager[Event]]
"""Begin to listen for requests to stop; the event is set by the first request."""


@contextmanager
def no_stop_requests() -> Iterator[Event]:
    """Yield an event that only this process sets."""
    yield StopRequest()


@dataclass(frozen=True)
class StopSources:
    """What may stop a run early.

    Args:
        lock_lost: Set when another run takes the writer lock.
        listen: Listens for requests to stop while books are processed. Before that, Ctrl-C ends
            the command at once: no book was started.
    """

    lock_lost: Event
    listen: ListenForStop = no_stop_requests


class Executor(Protocol):
    """Processes the books of a run."""

    def execute(
        self, work: Work, stop_sources: StopSources, timer: StepTimer, stack: ExitStack
    ) -> Progress:
        """Process the books of a run.

        Args:
            work: The books and what processes them.
            stop_sources: What may stop the run early.
            timer: Records the seconds of the steps.
            stack: Keeps what the run started until the caller has saved its record.

        Returns:
            The run's last numbers.

        Raises:
            SetupError: The run does not fit, or every book would fail.
        """


def max_calls_in_flight(work: Work, limits: ModelLimits) -> int:
    """Return the most model calls at a time; 0 for a summarizer that computes."""
    return limits.quota.max_in_flight if work.processing.summarizer.in_flight > 0 else 0


@contextmanager
def connect_work(
    work: Work, limits: ModelLimits, connect_quota: ConnectQuota
) -> Iterator[tuple[Work, CostTracker]]:
    """Yield the work with its models connected, and the tracker of their costs.

    Args:
        work: The books and what processes them.
        limits: What model calls may take and cost.
        connect_quota: Finds or starts the broker of a pool.
    """
    state, run_id, run_seq = work.ledger.state, work.run_id, work.run_seq
    with connect_models(work.processing, limits, state, run_id, run_seq, connect_quota) as (
        processing,
        costs,
    ):
        yield replace(work, processing=processing), costs


def supervise(
    graph: BackgroundWork,
    work: Work,
    coordinator: CoordinatorHandle,
    costs: CostTracker,
    stop_requested: Event,
    lock_lost: Event,
    timer: StepTimer,
    meter: ProcessMeter,
    views: Sequence[ProgressView],
) -> Progress:
    """Run the graph to its end or to its stop; log progress and compact the ledger meanwhile.

    Args:
        graph: Processes the books.
        work: The books, and where results are recorded.
        coordinator: The run's coordinator.
        costs: What the model calls cost.
        stop_requested: Set by a request to stop.
        lock_lost: Set when another run takes the writer lock.
        timer: Records the seconds of the steps.
        meter: Measures the memory and CPU in use.
        views: Show the progress, beside progress.json.

    Returns:
        The run's last numbers.
    """
    watched = CostAwareCoordinator(coordinator, costs)
    recipe = work.processing.recipe.document
    compaction = repeat_in_background(COMPACT_INTERVAL_S, lambda: work.ledger.compact(recipe))
    stops = {_STOP_REQUESTED: stop_requested, _LOCK_LOST: lock_lost}
    with timer.step("graph"), compaction:
        try:
            forecast = start_forecast(work)
            files = (ProgressFile(work), StatisticsFile(work, coordinator.times))
            with watch(watched, forecast, stops, meter, graph.give_up, [*views, *files]):
                graph.wait(stop_requested)
        except StopTimeout:
            log.warning("books in progress did not end within %g s; they are left", STOP_GRACE_S)
    progress = watched.progress()
    if progress.stop_reason:
        log.warning("stopped: %s; run again for the remaining books", progress.stop_reason)
    for stage, seconds in progress.stage_seconds:
        timer.seconds[f"{stage}_busy"] = round(seconds, 3)
    return progress
