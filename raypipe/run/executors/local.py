"""Execute the stages of a run in threads of this process, for debugging, notebooks and tests."""

from __future__ import annotations

import dataclasses
import logging
import math
import queue
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

import cloudpickle

from raypipe.coordination.background_work import BackgroundWork
from raypipe.coordination.limiter import AdaptiveLimiter
from raypipe.coordination.local_coordinator import LocalCoordinator, coordinate_in_process
from raypipe.coordination.process_meter import ProcessMeter
from raypipe.coordination.progress import STOP_GRACE_S
from raypipe.coordination.run_coordinator import Progress, RunCoordinator
from raypipe.core.book import Book, Row, from_table, to_table
from raypipe.core.errors import SetupError
from raypipe.core.stage_options import Stages
from raypipe.opensearch.bulk.error_policy import SinkError
from raypipe.opensearch.bulk.parallel import WRITERS
from raypipe.quota.batch_client import wait_for_calls
from raypipe.quota.in_process import connect_in_process
from raypipe.run.batches import batch_limits, group_limits, split_into_batches
from raypipe.run.book_sink import BookSink
from raypipe.run.costs import check_costs, quota_run_id
from raypipe.run.executors.base import (
    StopSources,
    connect_work,
    max_calls_in_flight,
    supervise,
)
from raypipe.run.job import Execution, ModelLimits
from raypipe.run.machine import this_machine
from raypipe.run.resources import set_calls_per_worker, size_for_models, suggest_scale
from raypipe.run.stages import Embed, Summarize, embed_arguments, summarize_arguments
from raypipe.run.timer import StepTimer
from raypipe.run.work import Work

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True)
class LocalExecutor:
    """Runs the stages of a run in threads, without Ray.

    Parts, batches and rows are pickled from stage to stage as on Ray, so what works here works
    there. A book that crashes its worker crashes this process; the next run continues.

    Args:
        execution: How large the stages are.
        limits: What model calls may take and cost.
    """

    execution: Execution
    limits: ModelLimits

    def execute(
        self, work: Work, stop_sources: StopSources, timer: StepTimer, stack: ExitStack
    ) -> Progress:
        """Process the books of a run; see `raypipe.run.executors.base.Executor`."""
        check_costs(work.processing, self.limits)
        stages = self._size_stages(work)
        limiter = AdaptiveLimiter(stages.write.tasks * WRITERS)
        run_coordinator = RunCoordinator(self.execution.breaker, limiter, len(work.books))
        coordinator = stack.enter_context(coordinate_in_process(run_coordinator))
        stop_requested = stack.enter_context(stop_sources.listen())
        work, costs = stack.enter_context(connect_work(work, self.limits, connect_in_process))
        pipeline = Pipeline(work, stages, coordinator)
        return supervise(
            BackgroundWork(pipeline.run, interrupts=False),
            work,
            coordinator,
            costs,
            stop_requested,
            stop_sources.lock_lost,
            timer,
            ProcessMeter(uses_ray=False),
        )

    def _size_stages(self, work: Work) -> Stages:
        """Return the sizes with the numbers of workers set: one for each core that computes."""
        max_in_flight = max_calls_in_flight(work, self.limits)
        stages = size_for_models(self.execution.stages, max_in_flight)
        if hint := suggest_scale(stages.preset, len(work.books)):
            log.info("%s", hint)
        if stages.summarize.workers is None:
            workers = 1 if max_in_flight else max(math.floor(this_machine().cpus), 1)
            pool = dataclasses.replace(stages.summarize, workers=workers)
            stages = dataclasses.replace(stages, summarize=pool)
        return set_calls_per_worker(stages, max_in_flight)


class Pipeline:
    """Threads that carry batches of books through the stages.

    A thread takes a batch from the listing to the sink. It waits where all workers of a stage are
    in use, so each stage has as many batches at work as on Ray, and few batches wait in memory.

    Args:
        work: The books and what processes them.
        stages: Sizes of the stages, with all numbers set.
        coordinator: The run's coordinator.
    """

    def __init__(self, work: Work, stages: Stages, coordinator: LocalCoordinator) -> None:
        calls = stages.summarize.calls_per_worker or 1
        summarizers = [
            Summarize(**pickled_copy(summarize_arguments(work, coordinator)))
            for _ in range(stages.summarize.workers or 1)
        ]
        embedders = [
            Embed(**pickled_copy(embed_arguments(work, coordinator)))
            for _ in range(stages.embed.workers or 1)
        ]
        self._quota_run_id = quota_run_id(work.ledger.state, work.run_id)
        self._coordinator = coordinator
        self._summarizers = Workers(summarizers * calls)
        self._embedders = Workers(embedders)
        limits = batch_limits(stages, len(work.books))
        groups = group_limits(stages.write, limits, work.index)
        recipe = work.processing.recipe
        self._sink = pickled_copy(
            BookSink(work.ledger, recipe, work.run_seq, coordinator, work.index, groups)
        )
        self._batches = split_into_batches(work.books, limits)
        self._lock = threading.Lock()
        # Batches that wait for their group need a thread each, but no worker.
        self._threads = len(summarizers) * calls + len(embedders) + groups.max_calls
        self._error: BaseException | None = None

    def run(self) -> None:
        """Process all batches.

        Raises:
            SetupError: Every book would fail.
        """
        threads = [
            threading.Thread(target=self._process_batches, name=f"raypipe-{number}", daemon=True)
            for number in range(self._threads)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive() and self._error is None:
                thread.join(1.0)
        if self._error is not None:
            self._coordinator.stop(str(self._error))
            deadline = time.monotonic() + STOP_GRACE_S
            for thread in threads:
                thread.join(max(deadline - time.monotonic(), 0.0))
            raise self._error
        # A book that is left may have further calls in flight; they are paid for.
        wait_for_calls(self._quota_run_id, STOP_GRACE_S)

    def _process_batches(self) -> None:
        try:
            while self._error is None and (books := self._next_batch()):
                self._process(books)
        except SinkError as error:
            self._error = self._error or SetupError(str(error))
        except BaseException as error:  # `run` raises it
            self._error = self._error or error

    def _next_batch(self) -> list[Book] | None:
        """Return the next batch, or None at the end or once the run stops."""
        if self._coordinator.stop_reason():
            return None  # the remaining books are left; the balance counts them
        with self._lock:
            return next(self._batches, None)

    def _process(self, books: list[Book]) -> None:
        batch = pickled_copy(to_table(Row(book) for book in books))
        with self._summarizers.take() as summarize:
            batch = pickled_copy(summarize(batch))
        with self._embedders.take() as embed:
            batch = pickled_copy(embed(batch))
        self._sink.write(len(books), lambda: from_table(batch))


class Workers(Generic[T]):
    """The workers of a stage; each worker has one batch at a time.

    Args:
        workers: The workers. A worker that is listed several times has as many batches.
    """

    def __init__(self, workers: Iterable[T]) -> None:
        self._free: queue.SimpleQueue[T] = queue.SimpleQueue()
        for worker in workers:
            self._free.put(worker)

    @contextmanager
    def take(self) -> Iterator[T]:
        """Wait for a free worker, and use it in the block."""
        worker = self._free.get()
        try:
            yield worker
        finally:
            self._free.put(worker)


def pickled_copy(value: T) -> T:
    """Return a value as it arrives in another process.

    Raises:
        SetupError: The value cannot be pickled.
    """
    try:
        copy: T = cloudpickle.loads(cloudpickle.dumps(value))
    except Exception as error:
        raise SetupError(f"a part cannot be pickled for its worker: {error}") from error
    return copy
