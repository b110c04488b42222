"""Settings of Ray Data: one batch of books per block, task and retry."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any

from ray.data import ActorPoolStrategy, DataContext

from raypipe.coordination.run_coordinator import MAX_WORKER_DEATHS
from raypipe.core.stage_options import EmbedOptions, Stages, SummarizeOptions
from raypipe.run.batches import MAX_TASK_BOOKS

MAX_BATCHES_AHEAD = 64
"""Most batches that wait at an actor."""
BATCHES_AHEAD = 32
"""Batches that the listing may be ahead of the summarizers; a batch of keys has a few kilobytes."""


_lock = threading.Lock()
_at_end = ExitStack()
_users = 0


@contextmanager
def ray_data_settings(
    lean: AbstractContextManager[None] = nullcontext(),  # noqa: B008 - has no state
) -> Iterator[None]:
    """Set the DataContext and the log handlers of Ray Data; restore them after the last user.

    The caller may have other datasets. A dataset copies the context when it is created.

    Args:
        lean: Leaves out actors of Ray Data; the first user enters it, the last leaves it.
    """
    global _users
    with _lock:
        if not _users:
            context = DataContext.get_current()
            levels = {handler: handler.level for handler in logging.getLogger("ray.data").handlers}
            _at_end.callback(_restore, context, levels)
            _at_end.enter_context(lean)
            DataContext._set_current(context.copy())
            _configure_ray_data()
        _users += 1
    try:
        silence_ray_data()
        yield
    finally:
        with _lock:
            _users -= 1
            if not _users:
                _at_end.close()


def _restore(context: DataContext, levels: dict[logging.Handler, int]) -> None:
    DataContext._set_current(context)
    for handler, level in levels.items():
        handler.setLevel(level)


def _configure_ray_data() -> None:
    context = DataContext.get_current()
    # One byte, so that each one-row batch stays a separate block, and so a separate task.
    context.target_max_block_size = 1
    context.target_min_block_size = 1
    # The default of two blocks per task is two batches of keys per turn of Ray's loop (0.1 s).
    context._max_num_blocks_in_streaming_gen_buffer = BATCHES_AHEAD
    # A block that fails must fail the run, not vanish: books fail inside the stages.
    context.max_errored_blocks = 0
    context.actor_task_retry_on_errors = False
    context.actor_init_retry_on_errors = True
    context.max_consecutive_actor_init_deaths = 3
    # A run may wait for the next day's tokens.
    context.execution_no_progress_timeout_s = -1
    context.enable_progress_bars = False
    context.issue_detectors_config.detectors = []
    context.print_on_execution_start = False
    # Each task would have a thread that measures the memory of its worker once a second.
    context.memory_usage_poll_interval_s = None


def silence_ray_data() -> None:
    """Keep Ray Data's tracebacks in its session's log; raypipe prints one line instead."""
    for handler in logging.getLogger("ray.data").handlers:
        made_by_ray = type(handler).__module__.startswith("ray.")
        if made_by_ray and isinstance(handler, logging.StreamHandler):
            handler.setLevel(logging.CRITICAL + 1)
    # A run with fewer batches than workers is no reason for a warning.
    warnings.filterwarnings("ignore", message="The minimum number of concurrent actors")


def batches_ahead(calls: int, workers: int, batches: int) -> int:
    """Return how many batches an actor has waiting, beside those that it processes.

    Ray's loop hands out batches at most ten times a second, because it waits up to 0.1 s for all
    tasks in flight (`WAIT_FOR_TASK_COMPLETION_TIMEOUT_S`). With three batches ahead, an actor
    with batches of one book processed 16 of them a second (measured on 2 cores).

    Args:
        calls: Batches that the actor processes at the same time.
        workers: Number of actors.
        batches: Number of batches in the run, about. At the end of a run, an actor must not have
            many batches waiting while another has none.
    """
    return max(3, calls // 4, min(MAX_BATCHES_AHEAD, batches // (4 * workers)))


def whole_pool(stages: Stages, at_once: int, tasks: int) -> dict[str, Any]:
    """Return the arguments of `map_batches` for workers that take books through all stages.

    Args:
        stages: Sizes of the graph, with a number of workers and a CPU share.
        at_once: Tasks that a worker has at the same time; each is a block with a group of books.
        tasks: Number of tasks in the run.
    """
    pool = stages.summarize
    workers = pool.workers or 1
    # At the end of a run, a worker must not have many tasks waiting while another has none.
    ahead = min(BATCHES_AHEAD, tasks // (8 * workers))
    return {
        "compute": ActorPoolStrategy(
            size=workers,
            max_concurrent_calls_per_actor=at_once,
            max_tasks_in_flight_per_actor=at_once + ahead,
            enable_true_multi_threading=True,
        ),
        "num_cpus": pool.num_cpus,
        "batch_size": None,
        "batch_format": "pyarrow",
        "max_restarts": MAX_TASK_BOOKS + MAX_WORKER_DEATHS,
        "max_task_retries": -1,
    }


def actor_pool(
    stages: Stages, stage: EmbedOptions | SummarizeOptions, batches: int
) -> dict[str, Any]:
    """Return the arguments of `map_batches` for one actor pool; a call processes one batch.

    Args:
        stages: Sizes of the graph.
        stage: The stage, with a number of workers and a CPU share.
        batches: Number of batches in the run, about.
    """
    calls, gpus = 1, 0.0
    if isinstance(stage, SummarizeOptions):
        calls = stage.calls_per_worker or 1
    else:
        gpus = stage.num_gpus
    assert stage.workers is not None, "resolve_workers() sets it"
    assert stage.num_cpus is not None, "resolve_workers() sets it"
    return {
        "compute": ActorPoolStrategy(
            size=stage.workers,
            max_concurrent_calls_per_actor=calls,
            max_tasks_in_flight_per_actor=calls + batches_ahead(calls, stage.workers, batches),
            enable_true_multi_threading=calls > 1,
        ),
        "num_cpus": stage.num_cpus,
        "num_gpus": gpus or None,
        "batch_size": 1,
        "batch_format": "pyarrow",
        "udf_modifying_row_count": False,
        # A worker's death costs each book of its batch at most one try: the crash guard finds the
        # book that kills workers, and that book fails. More deaths have another cause.
        "max_restarts": stages.summarize.books_per_task + MAX_WORKER_DEATHS,
        # Until Ray knows that a node died, it retries the node's tasks every moment. Only an
        # actor's own deaths count, and `max_restarts` bounds them.
        "max_task_retries": -1,
    }
