"""Execute the stages of a run on Ray: start Ray, size the graph, pass a stop to the workers."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from dataclasses import dataclass, replace
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError, UserCodeException
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raypipe.coordination.background_work import BackgroundWork
from raypipe.coordination.coordinator_handle import RemoteCoordinator
from raypipe.coordination.counts import Progress
from raypipe.coordination.limiter import AdaptiveLimiter
from raypipe.coordination.process_meter import ProcessMeter
from raypipe.core.errors import SetupError
from raypipe.core.options import BreakerOptions, RayOptions
from raypipe.core.stage_options import Stages
from raypipe.opensearch.bulk.error_policy import SinkError
from raypipe.opensearch.bulk.parallel import WRITERS
from raypipe.quota.actor import broker_for
from raypipe.run.executors.base import (
    StopSources,
    connect_work,
    max_calls_in_flight,
    supervise,
)
from raypipe.run.executors.cluster_checks import check_gpus, check_reachable
from raypipe.run.executors.lean_ray import fewer_actors
from raypipe.run.executors.ray_metrics import RayMetrics
from raypipe.run.executors.ray_session import ray_session
from raypipe.run.executors.run_services import (
    MAX_CONCURRENCY,
    RunServices,
    connect_quota_of,
)
from raypipe.run.executors.worker_imports import importable_parts
from raypipe.run.graph import run_graph
from raypipe.run.job import Execution, ModelLimits
from raypipe.run.ray_data import ray_data_settings
from raypipe.run.resources import (
    check_resources,
    place_embedding,
    resolve_workers,
    set_calls_per_worker,
    size_for_models,
)
from raypipe.run.timer import StepTimer
from raypipe.run.work import Checkable, Work

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RayExecutor:
    """Runs the stages of a run on Ray, local or a cluster.

    Args:
        execution: Where and how large the graph runs.
        limits: What model calls may take and cost.
    """

    execution: Execution
    limits: ModelLimits

    def execute(
        self, work: Work, stop_sources: StopSources, timer: StepTimer, stack: ExitStack
    ) -> Progress:
        """Process the books of a run; see `raypipe.run.executors.base.Executor`."""
        with timer.step("ray_start"):
            options = self.execution.ray
            wants_dashboard = options.wants_dashboard(len(work.books))
            options = replace(options, dashboard=wants_dashboard)
            stages, is_private = self._start_ray(work, options, stack)
            # After Ray's start, which installs a signal handler.
            stop_requested = stack.enter_context(stop_sources.listen())
            actor = _start_services(self.execution.breaker, stages, len(work.books))
            # Otherwise the actor survives in a multirun, or after an exception that keeps frames.
            stack.callback(ray.kill, actor)
            coordinator = RemoteCoordinator(actor)
            if not is_private:  # else the driver has checked the parts on this machine
                _check_on_worker(work.required)
            connect_quota = connect_quota_of(actor) if is_private else broker_for
            work, costs = stack.enter_context(connect_work(work, self.limits, connect_quota))
        lean = fewer_actors(dashboard=wants_dashboard) if is_private else nullcontext()
        views = self.execution.views(work.run_id)
        if not is_private or options.metrics_port is not None:
            views.append(RayMetrics(work.run_id))
        return supervise(
            BackgroundWork(lambda: _run_graph(work, stages, coordinator, lean), interrupts=True),
            work,
            coordinator,
            costs,
            stop_requested,
            stop_sources.lock_lost,
            timer,
            ProcessMeter(),
            views,
        )

    def _start_ray(self, work: Work, options: RayOptions, stack: ExitStack) -> tuple[Stages, bool]:
        """Start or join Ray.

        Returns:
            The sizes of the graph with all numbers set, and whether the run has started Ray on
            this machine for itself.
        """
        max_in_flight = max_calls_in_flight(work, self.limits)
        endpoint = work.index.ref.endpoint if work.index is not None else ""
        stages = size_for_models(self.execution.stages, max_in_flight)
        stages = place_embedding(stages, work.processing.embedder)
        stages = check_resources(stages, options, len(work.books), endpoint)
        session = stack.enter_context(ray_session(options))
        stages = set_calls_per_worker(resolve_workers(stages, session.cpus), max_in_flight)
        check_gpus(stages.embed.workers or 0, stages.embed.num_gpus, options)
        if options.address != "local":
            locations = {**work.source.locations, "opensearch.endpoint": endpoint}
            check_reachable({option: place for option, place in locations.items() if place})
        processing = work.processing
        parts = [work.source, processing.cleaner, processing.summarizer, processing.embedder]
        stack.enter_context(importable_parts(parts, is_shared=session.is_shared))
        return stages, options.address == "local" and not session.is_shared


def _run_graph(
    work: Work,
    stages: Stages,
    coordinator: RemoteCoordinator,
    lean: AbstractContextManager[None],
) -> None:
    try:
        with ray_data_settings(lean):
            run_graph(work, stages, coordinator)
    except (RayError, RuntimeError) as error:
        raise _explain(error, coordinator) from error


def _start_services(breaker: BreakerOptions, stages: Stages, books: int) -> Any:
    """Start the actor of the run on the driver's node: worker nodes may leave."""
    node_id = ray.get_runtime_context().get_node_id()
    driver_node = NodeAffinitySchedulingStrategy(node_id, soft=False)
    remote: Any = ray.remote  # its overloads know neither this strategy nor plain classes
    actor = remote(
        num_cpus=0,
        max_restarts=0,
        max_concurrency=MAX_CONCURRENCY,
        scheduling_strategy=driver_node,
    )(RunServices)
    return actor.remote(breaker, AdaptiveLimiter(stages.write.tasks * WRITERS), books)


def _check_on_worker(parts: Sequence[Checkable]) -> None:
    """Check on one worker what the driver checked: credentials, models, a writable state."""
    check: Any = ray.remote(num_cpus=0.1, max_retries=1)(_check_parts)
    try:
        ray.get(check.remote(list(parts)))
    except RayTaskError as error:
        raise _explain(error) from error


def _check_parts(parts: Sequence[Checkable]) -> None:
    for part in parts:
        part.check()


def _explain(error: BaseException, coordinator: RemoteCoordinator | None = None) -> Exception:
    """Return the one-line error that caused a failure of Ray, or a short summary of it.

    Args:
        error: The failure.
        coordinator: Knows the message of a stage's error, which Ray Data hides.
    """
    cause: BaseException | None = error
    while cause is not None:
        wrapped = getattr(cause, "cause", None)
        # Ray's wrapper is also an instance of the cause's class, but its text is a traceback.
        if isinstance(wrapped, (SetupError, SinkError)):
            return SetupError(str(wrapped).strip().splitlines()[0])
        if isinstance(cause, (SetupError, SinkError)):
            return SetupError(str(cause).strip().splitlines()[-1])
        cause = cause.__cause__
    if coordinator is not None and isinstance(getattr(error, "cause", None), UserCodeException):
        with suppress(RayError):
            if reason := coordinator.stop_reason().strip():
                return SetupError(reason.splitlines()[-1])
    log.error("Ray stopped the run; processing.log has the traceback", exc_info=error)
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    return SetupError(f"Ray stopped the run: {type(error).__name__}: {lines[-1] if lines else ''}")
