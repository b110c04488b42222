"""The graph of a run: pending books are summarized, embedded and written to OpenSearch."""

from __future__ import annotations

from typing import Any

import ray
from ray.data import Dataset

from raypipe.coordination.run_coordinator import Coordinator
from raypipe.core.stage_options import EmbedOptions, Stages, SummarizeOptions
from raypipe.run.book_sink import BookSink
from raypipe.run.datasink import write_grouped
from raypipe.run.ray_data import actor_pool
from raypipe.run.resources import LISTING_CPUS
from raypipe.run.source import PendingBooksDatasource
from raypipe.run.stages import (
    Embed,
    Summarize,
    SummarizeAndEmbed,
    embed_arguments,
    summarize_arguments,
)
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
    dataset: Dataset = ray.data.read_datasource(
        books, num_cpus=LISTING_CPUS, override_num_blocks=books.read_tasks(), concurrency=1
    )
    summarize, embed = summarize_arguments(work, coordinator), embed_arguments(work, coordinator)
    pools: list[tuple[Any, dict[str, Any], EmbedOptions | SummarizeOptions]]
    if stages.embed.workers:
        pools = [(Summarize, summarize, stages.summarize), (Embed, embed, stages.embed)]
    else:
        arguments = {"summarize": summarize, "embed": embed}
        pools = [(SummarizeAndEmbed, arguments, stages.summarize)]
    for stage, arguments, options in pools:
        dataset = dataset.map_batches(
            stage,
            fn_constructor_kwargs=arguments,
            **actor_pool(stages, options, books.batches),
        )
    write_grouped(dataset, sink, stages.write)
