"""The graph of a run: pending books are summarized, embedded and written to OpenSearch."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import ray
from ray.data import Dataset

from raypipe.coordination.run_coordinator import Coordinator
from raypipe.core.book import Book, Row, to_table
from raypipe.core.stage_options import Stages
from raypipe.run.batches import (
    BatchLimits,
    batch_limits,
    batches_ahead_of_sink,
    group_limits,
    group_limits_of_worker,
    split_into_batches,
    task_limits,
    tasks_at_once,
)
from raypipe.run.book_sink import sink_of
from raypipe.run.datasink import write_grouped
from raypipe.run.process_books import ProcessBooks
from raypipe.run.ray_data import actor_pool, whole_pool
from raypipe.run.resources import LISTING_CPUS, shares_embedder, work_is_whole
from raypipe.run.source import PendingBooksDatasource
from raypipe.run.stages import Embed, Summarize, embed_arguments, summarize_arguments
from raypipe.run.work import Work

MAX_LISTED_NOW = 100_000
"""Most books whose keys are put into Ray's object store at the start; they take 20 MB."""


def run_graph(work: Work, stages: Stages, coordinator: Coordinator) -> None:
    """Process the books of a run; each ends as a record in the ledger or is left.

    Args:
        work: The books and what processes them.
        stages: Sizes of the graph, with numbers of workers and CPU shares.
        coordinator: The run's coordinator.
    """
    if work_is_whole(stages):
        _run_whole(work, stages, coordinator)
    else:
        _run_pools(work, stages, coordinator)


def _run_whole(work: Work, stages: Stages, coordinator: Coordinator) -> None:
    """Run one pool of workers, each of which takes its books through all stages.

    A task of Ray is a group of books, and nothing but their keys travels between processes.
    """
    books = len(work.books)
    tasks = task_limits(stages, books)
    at_once = tasks_at_once(stages, tasks, work.index, books)
    books_at_once = at_once * tasks.books
    has_all = stages.summarize.workers == 1 and books_at_once >= books
    groups = group_limits_of_worker(stages, work.index, None if has_all else books_at_once)
    arguments = {
        "summarize": summarize_arguments(work, coordinator),
        "embed": embed_arguments(work, coordinator),
        "sink": sink_of(work, coordinator, groups),
        "limits": batch_limits(stages, books),
        "tasks": tasks,
        "threads": stages.summarize.calls_per_worker or 1,
        "shares_embedder": shares_embedder(work.processing.embedder),
        "read_back": partial(
            work.ledger.read_back,
            work.run_seq,
            () if work.index else work.accepted.documents,
        ),
    }
    number = -(-books // tasks.books)
    ahead = 2 * at_once * (stages.summarize.workers or 1)
    dataset: Any = (
        _list_now(work.books, tasks)
        if books <= MAX_LISTED_NOW
        else _list_lazily(PendingBooksDatasource(work.books, tasks, coordinator, ahead))
    )
    dataset = dataset.map_batches(
        ProcessBooks, fn_constructor_kwargs=arguments, **whole_pool(stages, at_once, number)
    )
    # Each block of the result has the number of books of a task; reading one by one frees them.
    for _ in dataset.iter_internal_ref_bundles():
        pass


def _run_pools(work: Work, stages: Stages, coordinator: Coordinator) -> None:
    """Run a pool of workers for each stage, as large as the stage needs."""
    limits = batch_limits(stages, len(work.books))
    groups = group_limits(stages.write, limits, work.index)
    ahead = batches_ahead_of_sink(stages, groups)
    books = PendingBooksDatasource(work.books, limits, coordinator, ahead)
    dataset = _list_lazily(books).map_batches(
        Summarize,
        fn_constructor_kwargs=summarize_arguments(work, coordinator),
        **actor_pool(stages, stages.summarize, books.batches),
    )
    dataset = dataset.map_batches(
        Embed,
        fn_constructor_kwargs=embed_arguments(work, coordinator),
        **actor_pool(stages, stages.embed, books.batches),
    )
    write_grouped(dataset, sink_of(work, coordinator, groups), stages.write)


def _list_now(books: Sequence[Book], limits: BatchLimits) -> Dataset:
    """Return a dataset with a block for each batch, without a process that lists them."""
    rows = [
        to_table(Row(book) for book in batch).to_pylist()[0]
        for batch in split_into_batches(books, limits)
    ]
    # `from_arrow` would start a task of Ray for each block.
    return ray.data.from_items(rows, override_num_blocks=len(rows))


def _list_lazily(books: PendingBooksDatasource) -> Dataset:
    """Return a dataset of batches that are listed when the sink is ready for them."""
    dataset: Dataset = ray.data.read_datasource(
        books, num_cpus=LISTING_CPUS, override_num_blocks=books.read_tasks(), concurrency=1
    )
    return dataset
