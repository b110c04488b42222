from __future__ import annotations

from collections.abc import Sequence

import pytest

from raypipe.coordination.run_coordinator import RunCoordinator
from raypipe.core.book import Book, from_table
from raypipe.core.options import BreakerOptions
from raypipe.run.source import (
    BOOKS_PER_READ_TASK,
    BatchLimits,
    PendingBooksDatasource,
    split_into_batches,
)


class Here(RunCoordinator):
    """The monitor without its actor."""

    def node_id(self) -> str:
        return "here"


def books(sizes: Sequence[int], part: str = "") -> list[Book]:
    return [Book(f"{i}", f"{i}.txt", "e", size, 0.0, part=part) for i, size in enumerate(sizes)]


def lengths(sizes: Sequence[int], size: BatchLimits) -> list[int]:
    return [len(parcel) for parcel in split_into_batches(books(sizes), size)]


def test_cut_keeps_both_bounds_and_every_book() -> None:
    assert lengths([1] * 7, BatchLimits(3, 1000)) == [3, 3, 1]
    assert lengths([400, 400, 400], BatchLimits(64, 1000)) == [2, 1]


def test_a_book_over_the_bound_travels_alone() -> None:
    assert lengths([10, 5000, 10], BatchLimits(64, 1000)) == [1, 1, 1]


def test_finished_books_travel_in_large_parcels_of_their_own() -> None:
    mixed = [*books([10] * 150, part="r/part-1"), *books([10] * 5)]
    assert [
        len(parcel) for parcel in split_into_batches(mixed, BatchLimits(2, 1000, ready=100))
    ] == [
        100,
        50,
        2,
        2,
        1,
    ]


def test_read_tasks_are_few_and_yield_one_row_tables() -> None:
    monitor = Here(BreakerOptions())
    source = PendingBooksDatasource(
        books([1] * (BOOKS_PER_READ_TASK + 1)), BatchLimits(20_000, 10**9), monitor
    )
    tasks = source.get_read_tasks(2)
    tables = [table for task in tasks for table in task.read_fn()]
    assert len(tasks) == source.tasks() == 2
    assert all(table.num_rows == 1 for table in tables)
    assert sum(len(from_table(table)) for table in tables) == BOOKS_PER_READ_TASK + 1


def test_hands_out_nothing_after_a_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raypipe.run.source.ASK_EVERY_S", 0.0)
    monitor = Here(BreakerOptions())
    source = PendingBooksDatasource(books([1] * 4), BatchLimits(2, 1000), monitor)
    tables = iter(source.get_read_tasks(1)[0].read_fn())
    next(tables)
    monitor.stop("Ctrl-C")
    assert list(tables) == []
