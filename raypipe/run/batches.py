"""Split the books of a run into batches: the unit of work, and of a retry on Ray."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from raypipe.core.book import Book
from raypipe.core.stage_options import Stages, WriteOptions
from raypipe.opensearch.index import Index
from raypipe.run.group_commit import GroupLimits

MIN_CALLS = 8
"""Least number of calls that a writer takes at once."""
MIN_BATCHES_AHEAD = 2_000
"""Least number of batches between the listing and the sink, so that no stage waits for keys."""
MAX_TASK_BOOKS = 64
"""Largest number of books in a task for a worker that does everything. If the worker dies, its
tasks are repeated, and their books processed one by one."""
MAX_TASKS_AT_ONCE = 64
"""Most tasks that such a worker takes at once; each is a thread that waits."""
TASKS_PER_WORKER = 4
"""Least number of tasks of each worker, so that all workers end at about the same time."""
MIN_FINISHED_BOOKS = 500
"""Smallest limit of a batch of finished books: such books only wait for the index."""


@dataclass(frozen=True)
class BatchLimits:
    """Limits of a batch of books.

    Args:
        books: Maximum number of books to read.
        source_bytes: Maximum bytes of source objects; a larger book is a batch by itself.
        finished_books: Maximum number of books whose summaries are finished; they cost little.
    """

    books: int
    source_bytes: int
    finished_books: int = MIN_FINISHED_BOOKS


def batch_limits(stages: Stages, books: int) -> BatchLimits:
    """Return limits within the options, small enough that every worker gets batches.

    Args:
        stages: Sizes of the stages, with all numbers set.
        books: Number of books in the run.
    """
    options = stages.summarize
    at_once = (options.workers or 1) * (options.calls_per_worker or 1)
    finished = min(4 * MIN_FINISHED_BOOKS, books // (2 * stages.write.tasks))
    return BatchLimits(
        books=max(1, min(options.books_per_task, books // (2 * at_once))),
        source_bytes=options.bytes_per_task,
        finished_books=max(MIN_FINISHED_BOOKS, finished),
    )


def task_limits(stages: Stages, books: int) -> BatchLimits:
    """Return limits of a task, which a worker that does everything splits into batches.

    Args:
        stages: Sizes of the stages, with all numbers set.
        books: Number of books in the run.
    """
    batches = batch_limits(stages, books)
    share = books // (TASKS_PER_WORKER * (stages.summarize.workers or 1))
    return BatchLimits(
        books=max(batches.books, min(MAX_TASK_BOOKS, share), 1),
        source_bytes=MAX_TASK_BOOKS * batches.source_bytes // max(batches.books, 1),
        finished_books=batches.finished_books,
    )


def tasks_at_once(stages: Stages, tasks: BatchLimits, index: Index | None, books: int) -> int:
    """Return how many tasks a worker that does everything has at the same time.

    Their books are at work, or wait for one of two groups.

    Args:
        stages: Sizes of the stages, with all numbers set.
        tasks: Limits of a task.
        index: The index; None for finished documents only.
        books: Number of books in the run.
    """
    waiting = 2 * (index.config if index else GroupLimits()).max_docs
    at_work = 2 * (stages.summarize.calls_per_worker or 1)
    needed = math.ceil((at_work + waiting) / tasks.books)
    share, workers = math.ceil(books / tasks.books), stages.summarize.workers or 1
    if workers > 1:  # the first worker that is ready must not take the tasks of the others
        # A worker that computes takes half of its share first, because others may be faster.
        # Models are as fast for each worker, and few books at a time cannot keep their calls up.
        waits_for_models = (stages.summarize.calls_per_worker or 1) > 1
        share = math.ceil(share / (workers if waits_for_models else 2 * workers))
    return max(min(needed, share, MAX_TASKS_AT_ONCE), 2)


def group_limits_of_worker(
    stages: Stages, index: Index | None, books_at_once: int | None = None
) -> GroupLimits:
    """Return when a worker that does everything commits a group of books.

    Args:
        stages: Sizes of the stages, with all numbers set.
        index: The index; None for finished documents only.
        books_at_once: Number of books that a worker has at the same time, so that a group never
            waits for books that cannot come; None for no limit.
    """
    bounds = index.config if index else GroupLimits()
    half = bounds.max_docs if books_at_once is None else max(books_at_once // 2, 1)
    return GroupLimits(
        max_docs=min(bounds.max_docs, half),
        max_bytes=bounds.max_bytes,
        flush_s=bounds.flush_s,
        max_calls=sys.maxsize,
        slots=math.ceil(stages.write.tasks / (stages.summarize.workers or 1)),
    )


def group_limits(options: WriteOptions, batches: BatchLimits, index: Index | None) -> GroupLimits:
    """Return when a writer commits a group of books.

    Args:
        options: Sizes of the write stage.
        batches: Limits of the batches that it receives.
        index: The index that it writes; None for finished documents only.
    """
    defaults = GroupLimits()
    bounds = index.config if index else defaults
    # As many calls as fill two groups; each call is a thread.
    calls = math.ceil(2 * bounds.max_docs / batches.books)
    return GroupLimits(
        max_docs=bounds.max_docs,
        max_bytes=bounds.max_bytes,
        flush_s=bounds.flush_s,
        max_calls=min(max(calls, MIN_CALLS), defaults.max_calls),
        slots=options.groups_per_writer,
    )


def batches_ahead_of_sink(stages: Stages, groups: GroupLimits) -> int:
    """Return how many batches may be between the listing and the sink.

    Args:
        stages: Sizes of the stages, with all numbers set.
        groups: When a writer commits a group.
    """
    summarize = stages.summarize
    at_once = (summarize.workers or 1) * (summarize.calls_per_worker or 1)
    at_once += (stages.embed.workers or 0) + stages.write.writers * groups.max_calls
    return MIN_BATCHES_AHEAD + 2 * at_once


def split_into_batches(books: Iterable[Book], limits: BatchLimits) -> Iterator[list[Book]]:
    """Yield the books in order, in batches within the limits.

    A batch holds either books to read or finished books, never both.
    """
    batch: list[Book] = []
    total = 0
    for book in books:
        max_books = limits.finished_books if book.part else limits.books
        size = 0 if book.part else book.size
        mixed = bool(batch) and bool(batch[0].part) != bool(book.part)
        if batch and (len(batch) >= max_books or total + size > limits.source_bytes or mixed):
            yield batch
            batch, total = [], 0
        batch.append(book)
        total += size
    if batch:
        yield batch
