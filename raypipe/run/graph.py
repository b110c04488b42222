"""The graph of a run: pending books are summarized, embedded and written to OpenSearch."""

from __future__ import annotations

import ray
from ray.data import Dataset

from raypipe.coordination.run_coordinator import Coordinator
from raypipe.core.stage_options import Stages
from raypipe.run.book_sink import BookSink
from raypipe.run.datasink import write_grouped
from raypipe.run.ray_data import actor_pool
from raypipe.run.resources import LISTING_CPUS
from raypipe.run.source import PendingBooksDatasource
from raypipe.run.stages import Embed, Summarize, embed_arguments, summarize_arguments
from raypipe.run.work import Work


def run_graph(
    books: PendingBooksDatasource,
    work: Work,
    sink: BookSink,
    stages: Stages,
    coordinator: Coordinator,
) -> None:
    """Process the books of a run; each ends as a record in the ledger or is left.

    Args:
        books: The books, split into batches.
        work: What processes them.
        sink: Where documents go.
        stages: Sizes of the graph, with numbers of workers and CPU shares.
        coordinator: The run's coordinator.
    """
    pending: Dataset = ray.data.read_datasource(
        books, num_cpus=LISTING_CPUS, override_num_blocks=books.read_tasks(), concurrency=1
    )
    summarized = pending.map_batches(
        Summarize,
        fn_constructor_kwargs=summarize_arguments(work, coordinator),
        **actor_pool(stages, stages.summarize, books.batches),
    )
    embedded = summarized.map_batches(
        Embed,
        fn_constructor_kwargs=embed_arguments(work, coordinator),
        **actor_pool(stages, stages.embed, books.batches),
    )
    write_grouped(embedded, sink, stages.write)
