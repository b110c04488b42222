from __future__ import annotations

from collections.abc import Sequence

import pytest

from raypipe.coordination.run_coordinator import RunCoordinator
from raypipe.core.book import Book, from_table
from raypipe.core.options import BreakerOptions
from raypipe.run.batches import BatchLimits, split_into_batches
from raypipe.run.source import BOOKS_PER_READ_TASK, PendingBooksDatasource


class LocalCoordinator(RunCoordinator):
    """A coordinator without an actor."""

    def node_id(self) -> str:
        return "here"

    def worker_id(self) -> str:
        return "writer"


def books(sizes: Sequence[int], part: str = "") -> list[Book]:
    return [Book(f"{i}", f"{i}.txt", "e", size, 0.0, part=part) for i, size in enumerate(sizes)]


def batch_lengths(sizes: Sequence[int], limits: BatchLimits) -> list[int]:
    return [len(batch) for batch in split_into_batches(books(sizes), limits)]


def test_batches_keep_both_limits_and_every_book() -> None:
    assert batch_lengths([1] * 7, BatchLimits(3, 1000)) == [3, 3, 1]
    assert batch_lengths([400, 400, 400], BatchLimits(64, 1000)) == [2, 1]


def test_a_book_over_the_limit_is_a_batch_of_its_own() -> None:
    assert batch_lengths([10, 5000, 10], BatchLimits(64, 1000)) == [1, 1, 1]


def test_finished_books_have_larger_batches_of_their_own() -> None:
    mixed = [*books([10] * 150, part="r/part-1"), *books([10] * 5)]
    batches = split_into_batches(mixed, BatchLimits(2, 1000, finished_books=100))
    assert [len(batch) for batch in batches] == [100, 50, 2, 2, 1]


def test_read_tasks_are_few_and_yield_tables_of_one_row() -> None:
    coordinator = LocalCoordinator(BreakerOptions())
    source = PendingBooksDatasource(
        books([1] * (BOOKS_PER_READ_TASK + 1)), BatchLimits(20_000, 10**9), coordinator, 9
    )
    tasks = source.get_read_tasks(2)
    tables = [table for task in tasks for table in task.read_fn()]
    assert len(tasks) == source.read_tasks() == 2
    assert all(table.num_rows == 1 for table in tables)
    assert sum(len(from_table(table)) for table in tables) == BOOKS_PER_READ_TASK + 1


def test_a_stopped_run_yields_no_further_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raypipe.run.source.CHECK_INTERVAL_S", 0.0)
    coordinator = LocalCoordinator(BreakerOptions())
    source = PendingBooksDatasource(books([1] * 4), BatchLimits(2, 1000), coordinator, 9)
    tables = iter(source.get_read_tasks(1)[0].read_fn())
    next(tables)
    coordinator.stop("Ctrl-C")
    assert list(tables) == []


def test_the_source_stays_near_the_books_that_reach_the_sink(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("raypipe.run.source.CHECK_INTERVAL_S", 0.0)
    coordinator = LocalCoordinator(BreakerOptions())
    # Two books reach the sink during each wait.
    monkeypatch.setattr("raypipe.run.source.time.sleep", lambda _: coordinator.arrive(2, []))
    limits = BatchLimits(2, 1000)
    source = PendingBooksDatasource(books([1] * 20), limits, coordinator, ahead=3)
    [task] = source.get_read_tasks(1)
    arrived = [coordinator.arrived() for _ in task.read_fn()]
    assert arrived == [0, 0, 0, *range(2, 16, 2)]
