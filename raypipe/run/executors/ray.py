"""Start Ray, watch over the graph while it runs, and carry a stop to the workers."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from threading import Event
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raypipe.coordination.limiter import AdaptiveLimiter
from raypipe.coordination.progress import STOP_GRACE_S, repeat_in_background, watch
from raypipe.coordination.run_coordinator import Progress, RemoteCoordinator, RunCoordinator
from raypipe.coordination.signals import StopTimeout, interruptible, stop_on_signal
from raypipe.core.book import Book
from raypipe.core.errors import SetupError
from raypipe.opensearch.bulk.error_policy import SinkError
from raypipe.opensearch.bulk.parallel import WRITERS
from raypipe.opensearch.index import Index
from raypipe.run import graph as pipeline
from raypipe.run.book_sink import OpenSearchDatasink
from raypipe.run.costs import CostAwareCoordinator, check_costs, open_model_context
from raypipe.run.executors.cluster_checks import check_gpus, check_reachable
from raypipe.run.executors.ray_session import ray_session
from raypipe.run.executors.resources import (
    check_resources,
    resolve_workers,
    set_calls_per_worker,
    size_for_models,
)
from raypipe.run.job import Checked, Job, Timer
from raypipe.run.source import READY, BatchLimits, PendingBooksDatasource

log = logging.getLogger(__name__)

COMPACT_EVERY_S = 60.0
LOST = "another run took the claim of this state"
SIGNAL = "asked to stop"


def execute(
    job: Job,
    books: Sequence[Book],
    needed: Sequence[Checked],
    handle: Index | None,
    run_id: str,
    run_seq: int,
    lost: Event,
    timer: Timer,
    stack: ExitStack,
) -> Progress:
    """Bring the books through the graph.

    Args:
        job: What the run is made of.
        books: What it takes, in order.
        needed: Parts that are checked on a worker before the first book.
        handle: The index; None stops at finished documents.
        run_id: The run's id.
        run_seq: Its number.
        lost: Set when another run takes the claim.
        timer: Where the steps' seconds are kept.
        stack: Keeps Ray, and the signals held back, until the caller has closed its record.

    Returns:
        The run's last numbers.

    Raises:
        SetupError: The graph does not fit the cluster, or something makes every book fail.
    """
    check_costs(job)
    with timer.step("ray_start"):
        endpoint = job.index.connection.endpoint if job.index is not None else ""
        in_flight = job.quota.max_in_flight if job.summarizer.in_flight else 0
        stages = check_resources(
            size_for_models(job.stages, in_flight), job.ray, len(books), endpoint
        )
        cpus = stack.enter_context(ray_session(job.ray))
        job = replace(job, stages=set_calls_per_worker(resolve_workers(stages, cpus), in_flight))
        check_gpus(job.stages.embed.workers, job.stages.embed.num_gpus, job.ray)
        if job.ray.address != "local":
            check_reachable(_places(job))
        # After Ray's own start, which puts its handlers in place.
        asked = stack.enter_context(stop_on_signal())
        actor = _actor(job)
        # Of a multirun, or after an exception that keeps its frames, it would live on.
        stack.callback(ray.kill, actor)
        monitor = RemoteCoordinator(actor)
        _preflight(needed)
        job, spending = stack.enter_context(open_model_context(job, run_id, run_seq))
    counted = CostAwareCoordinator(monitor, spending)
    stops = {SIGNAL: asked, LOST: lost}
    compaction = repeat_in_background(
        COMPACT_EVERY_S, partial(job.ledger.compact, job.recipe.document)
    )
    with timer.step("graph"), compaction:
        try:
            with interruptible() as late, watch(counted, len(books), stops, late):
                _run(job, books, handle, run_seq, monitor)
        except StopTimeout:
            log.warning("what was begun did not end within %g s; it is left", STOP_GRACE_S)
    progress = counted.progress()
    if progress.stop_reason:
        log.warning("stopped: %s; run again for the books that are left", progress.stop_reason)
    for stage, seconds in progress.stage_seconds:
        timer.seconds[f"{stage}_busy"] = round(seconds, 3)
    return progress


def _run(
    job: Job,
    books: Sequence[Book],
    handle: Index | None,
    run_seq: int,
    monitor: RemoteCoordinator,
) -> None:
    pipeline.configure()
    _keep_to_files()
    parts = pipeline.StageParts(
        job.store,
        job.cleaner,
        job.summarizer,
        job.embedder,
        job.ledger.documents,
        job.recipe,
        run_seq,
        monitor,
    )
    sink = OpenSearchDatasink(job.ledger, job.recipe, run_seq, monitor, handle)
    pending = PendingBooksDatasource(books, _parcel_size(job, len(books)), monitor)
    try:
        pipeline.run(pending, parts, sink, job.stages)
    except (RayError, RuntimeError) as error:
        raise _explained(error) from error


def _keep_to_files() -> None:
    """Keep Ray Data's tracebacks in its session's log: a person gets one line, from us."""
    for handler in logging.getLogger("ray.data").handlers:
        ray_made = type(handler).__module__.startswith("ray.")
        if ray_made and isinstance(handler, logging.StreamHandler):
            handler.setLevel(logging.CRITICAL + 1)
    # A run with fewer parcels than workers is nothing to warn of.
    warnings.filterwarnings("ignore", message="The minimum number of concurrent actors")


def _parcel_size(job: Job, books: int) -> BatchLimits:
    """Return parcels within the options, small enough that every worker gets some."""
    options = job.stages.summarize
    at_once = (options.workers or 1) * (options.calls_per_worker or 1)
    return BatchLimits(
        books=max(1, min(options.books_per_task, books // (2 * at_once))),
        source_bytes=options.bytes_per_task,
        ready=max(READY, min(4 * READY, books // (2 * job.stages.write.tasks))),
    )


def _actor(job: Job) -> Any:
    """Start the monitor where the driver is: it must not go with a worker node."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    remote: Any = ray.remote  # its overloads know neither this strategy nor plain classes
    actor = remote(num_cpus=0, max_restarts=0, scheduling_strategy=here)(RunCoordinator)
    return actor.remote(job.breaker, AdaptiveLimiter(job.stages.write.tasks * WRITERS))


def _places(job: Job) -> dict[str, str]:
    """Return what the workers reach for, by the options that say where it is."""
    endpoint = getattr(job.store, "endpoint_url", None)
    places = {
        "storage.path": getattr(job.store, "path", ""),
        "storage.endpoint_url": endpoint or "",
        "opensearch.endpoint": job.index.connection.endpoint if job.index is not None else "",
    }
    return {option: place for option, place in places.items() if place}


def _preflight(parts: Sequence[Checked]) -> None:
    """Check on one worker what the driver checked: credentials, models, a writable state."""
    check: Any = ray.remote(num_cpus=0.1, max_retries=1)(_check_worker)
    try:
        ray.get(check.remote(list(parts)))
    except RayTaskError as error:
        raise _explained(error) from error


def _check_worker(parts: Sequence[Checked]) -> None:
    for part in parts:
        part.check()


def _explained(error: BaseException) -> Exception:
    """Return the line for a person, if the cause is a known one; else a short summary."""
    cause: BaseException | None = error
    while cause is not None:
        inner = getattr(cause, "cause", None)
        # What Ray wraps is of its cause's class too, but has pages of tracebacks for a text.
        if isinstance(inner, (SetupError, SinkError)):
            return SetupError(str(inner).strip().splitlines()[0])
        if isinstance(cause, (SetupError, SinkError)):
            return SetupError(str(cause).strip().splitlines()[-1])
        cause = cause.__cause__
    log.error("Ray stopped the run; processing.log has the whole story", exc_info=error)
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    return SetupError(f"Ray stopped the run: {type(error).__name__}: {lines[-1] if lines else ''}")
