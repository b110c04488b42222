"""THE graph: pending books in, summarized, embedded, written to OpenSearch in bulk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ray
from ray.data import ActorPoolStrategy, DataContext, Dataset

from raypipe.coordination.run_coordinator import MAX_WORKER_DEATHS, Coordinator
from raypipe.core.fingerprint import Recipe
from raypipe.core.options import StageOptions, Stages, SummarizeOptions
from raypipe.embedders.protocol import Embedder
from raypipe.ledger.documents import DocumentStore
from raypipe.run.book_sink import OpenSearchDatasink
from raypipe.run.executors.resources import LISTING_CPUS
from raypipe.run.source import PendingBooksDatasource
from raypipe.run.stages import Embed, Summarize
from raypipe.sources.protocol import BookSource
from raypipe.summarizers.protocol import Summarizer
from raypipe.text import TextCleaner

PARCELS_AHEAD = 32
"""Parcels that the listing may be ahead of the summarizers: keys alone, a few kilobytes each."""


@dataclass(frozen=True)
class StageParts:
    """What a run is made of; everything here travels to the workers."""

    store: BookSource
    cleaner: TextCleaner
    summarizer: Summarizer
    embedder: Embedder
    documents: DocumentStore
    recipe: Recipe
    run_seq: int
    marks: Coordinator

    def summarize(self) -> dict[str, Any]:
        """Return what the `Summarize` stage is made with."""
        stage = {name: value for name, value in vars(self).items() if name != "embedder"}
        return stage

    def embed(self) -> dict[str, Any]:
        """Return what the `Embed` stage is made with."""
        return {"embedder": self.embedder, "recipe": self.recipe, "marks": self.marks}


def run(
    books: PendingBooksDatasource, parts: StageParts, sink: OpenSearchDatasink, stages: Stages
) -> None:
    """Bring the books through the graph; each ends in the ledger or is left."""
    write = stages.write
    build(books, parts, stages).write_datasink(
        sink, concurrency=write.tasks, ray_remote_args={"num_cpus": write.num_cpus}
    )


def build(books: PendingBooksDatasource, parts: StageParts, stages: Stages) -> Dataset:
    """Return the graph up to the sink."""
    pending: Dataset = ray.data.read_datasource(
        books, num_cpus=LISTING_CPUS, override_num_blocks=books.tasks(), concurrency=1
    )
    finished: Dataset = pending.map_batches(
        Summarize,
        fn_constructor_kwargs=parts.summarize(),
        **pool(stages.summarize, stages, calls=stages.summarize.calls_per_worker or 1),
    ).map_batches(Embed, fn_constructor_kwargs=parts.embed(), **pool(stages.embed, stages))
    return finished


def pool(stage: StageOptions | SummarizeOptions, stages: Stages, calls: int = 1) -> dict[str, Any]:
    """Return map_batches' arguments for one actor pool: a parcel a call."""
    # A worker's death costs its parcel at most one try for each of its books: the guilty one is
    # found by its marks and comes out as a failure. More deaths than that are not a book's fault.
    assert stage.workers is not None, "resolve_workers() sets it"
    assert stage.num_cpus is not None
    deaths = stages.summarize.books_per_task + MAX_WORKER_DEATHS
    return {
        "compute": ActorPoolStrategy(
            size=stage.workers,
            max_concurrent_calls_per_actor=calls,
            # More than the calls, so that an actor never waits for its next parcel.
            max_tasks_in_flight_per_actor=max(4, calls + calls // 4),
            enable_true_multi_threading=calls > 1,
        ),
        "num_cpus": stage.num_cpus,
        "num_gpus": (stage.num_gpus if isinstance(stage, StageOptions) else 0) or None,
        "batch_size": 1,
        "batch_format": "pyarrow",
        "udf_modifying_row_count": False,
        "max_restarts": deaths,
        # While a node that died is not yet called dead, Ray tries its tasks anew every moment: only
        # an actor's own deaths are a measure, and they are bounded above.
        "max_task_retries": -1,
    }


def configure() -> None:
    """Set the DataContext; it is copied when a dataset is made, so this comes first."""
    context = DataContext.get_current()
    # One byte, so that each one-row parcel stays a block, and so a task, of its own.
    context.target_max_block_size = 1
    context.target_min_block_size = 1
    # Two blocks a task, the default, are two parcels of keys each turn of Ray's loop (0.1 s).
    context._max_num_blocks_in_streaming_gen_buffer = PARCELS_AHEAD
    # A block that fails must fail the run, not vanish: books fail inside the stages.
    context.max_errored_blocks = 0
    context.actor_task_retry_on_errors = False
    context.actor_init_retry_on_errors = True
    context.max_consecutive_actor_init_deaths = 3
    # Waiting for tomorrow's tokens is not a fault.
    context.execution_no_progress_timeout_s = -1
    context.enable_progress_bars = False
    context.issue_detectors_config.detectors = []
    context.print_on_execution_start = False
