"""Execute the stages of a run in threads of this process, for debugging, notebooks and tests."""

from __future__ import annotations

import dataclasses
import logging
import math
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TypeVar

import cloudpickle

from raypipe.coordination.background_work import BackgroundWork
from raypipe.coordination.counts import Progress
from raypipe.coordination.limiter import AdaptiveLimiter
from raypipe.coordination.local_coordinator import LocalCoordinator, coordinate_in_process
from raypipe.coordination.process_meter import ProcessMeter
from raypipe.coordination.progress import STOP_GRACE_S
from raypipe.coordination.run_coordinator import RunCoordinator
from raypipe.core.errors import SetupError
from raypipe.core.stage_options import Stages
from raypipe.opensearch.bulk.error_policy import SinkError
from raypipe.opensearch.bulk.parallel import WRITERS
from raypipe.quota.batch_client import wait_for_calls
from raypipe.quota.in_process import connect_in_process
from raypipe.run.batches import batch_limits, group_limits_of_worker
from raypipe.run.book_sink import sink_of
from raypipe.run.costs import quota_run_id
from raypipe.run.executors.base import (
    StopSources,
    connect_work,
    max_calls_in_flight,
    supervise,
)
from raypipe.run.job import Execution, ModelLimits
from raypipe.run.machine import this_machine
from raypipe.run.pipeline import Pipeline
from raypipe.run.resources import (
    set_calls_per_worker,
    shares_embedder,
    size_for_models,
    suggest_scale,
)
from raypipe.run.stages import Embed, Summarize, embed_arguments, summarize_arguments
from raypipe.run.timer import StepTimer
from raypipe.run.work import Work

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True)
class LocalExecutor:
    """Runs the stages of a run in threads, without Ray.

    Parts are pickled as on Ray, so what works here works there. A book that crashes its worker
    crashes this process; the next run continues.

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
        stages = self._size_stages(work)
        limiter = AdaptiveLimiter(stages.write.tasks * WRITERS)
        run_coordinator = RunCoordinator(self.execution.breaker, limiter, len(work.books))
        coordinator = stack.enter_context(coordinate_in_process(run_coordinator))
        stop_requested = stack.enter_context(stop_sources.listen())
        work, costs = stack.enter_context(connect_work(work, self.limits, connect_in_process))
        pipeline = _create_pipeline(work, stages, coordinator)
        stack.callback(pipeline.close)

        def process_books() -> None:
            try:
                pipeline.run(work.books)
            except SinkError as error:
                raise SetupError(str(error)) from None
            # A book that is left may have further calls in flight; they are paid for.
            wait_for_calls(quota_run_id(work.ledger.state, work.run_id), STOP_GRACE_S)

        return supervise(
            BackgroundWork(process_books, interrupts=False),
            work,
            coordinator,
            costs,
            stop_requested,
            stop_sources.lock_lost,
            timer,
            ProcessMeter(uses_ray=False),
            self.execution.views(work.run_id),
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


def _create_pipeline(work: Work, stages: Stages, coordinator: LocalCoordinator) -> Pipeline:
    """Return the pipeline of a run, with copies of its parts as another process would get them."""
    groups = group_limits_of_worker(stages, work.index)
    limits = batch_limits(stages, len(work.books))
    return Pipeline(
        Summarize(**pickled_copy(summarize_arguments(work, coordinator))),
        Embed(**pickled_copy(embed_arguments(work, coordinator))),
        pickled_copy(sink_of(work, coordinator, groups)),
        limits,
        limits,
        (stages.summarize.workers or 1) * (stages.summarize.calls_per_worker or 1),
        shares_embedder=shares_embedder(work.processing.embedder),
        grace_s=STOP_GRACE_S,
    )


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
