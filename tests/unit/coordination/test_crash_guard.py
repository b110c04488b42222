from __future__ import annotations

from dataclasses import replace

import pytest

from raypipe.coordination import crash_guard
from raypipe.coordination.crash_guard import CrashGuard
from raypipe.coordination.run_coordinator import RunCoordinator
from raypipe.core.book import Book, Row
from raypipe.core.options import BreakerOptions


class LocalCoordinator(RunCoordinator):
    """The coordinator without its actor."""

    def node_id(self) -> str:
        return "local"

    def worker_id(self) -> str:
        return "writer"


@pytest.fixture
def coordinator() -> LocalCoordinator:
    return LocalCoordinator(BreakerOptions())


@pytest.fixture
def guard(coordinator: LocalCoordinator) -> CrashGuard:
    return CrashGuard(coordinator, "summarize")


def row_of(book_id: str) -> Row:
    return Row(Book(book_id, f"{book_id}.txt", "e", 1, 0.0))


def process(row: Row) -> Row:
    return replace(row, book=replace(row.book, part="processed"))


def crash(row: Row) -> Row:
    raise MemoryError(row.book.key)


def test_a_batch_is_processed_one_by_one_after_its_worker_died(guard: CrashGuard) -> None:
    rows = [row_of("a"), row_of("b")]
    assert guard.start(rows) == (rows, frozenset())  # the worker dies before `finish`
    ids = {row.book.book_id for row in rows}
    assert guard.start(rows) == (rows, ids)
    guard.finish(rows[:1], started=0.0)
    assert guard.start(rows) == (rows, ids - {rows[0].book.book_id})
    guard.finish(rows, started=0.0)
    assert guard.start(rows) == (rows, frozenset())


def test_a_book_that_kills_two_workers_fails_without_being_processed(guard: CrashGuard) -> None:
    row = row_of("killer")
    for _ in range(2):
        with pytest.raises(MemoryError):
            guard.isolate(row, crash)
    failed = guard.isolate(row, process)
    assert failed.failure is not None
    assert (failed.failure.kind, failed.failure.retryable) == ("killed_worker", True)
    assert "killer.txt: the worker died 2 times" in failed.failure.message


def test_an_isolated_book_that_finishes_is_forgotten(guard: CrashGuard) -> None:
    for _ in range(3):
        assert guard.isolate(row_of("a"), process).book.part == "processed"


def test_after_a_stop_rows_are_left(guard: CrashGuard, coordinator: LocalCoordinator) -> None:
    coordinator.stop("Ctrl-C")
    rows, suspects = guard.start([row_of("a")])
    assert ([row.left for row in rows], suspects) == (["Ctrl-C"], frozenset())
    assert guard.isolate(row_of("a"), process).left == "Ctrl-C"
    processed = guard.isolate(row_of("a"), process, even_if_stopped=True)
    assert (processed.left, processed.book.part) == ("", "processed")


def test_the_coordinator_is_asked_for_a_stop_at_intervals(
    guard: CrashGuard, coordinator: LocalCoordinator, monkeypatch: pytest.MonkeyPatch
) -> None:
    guard.start([row_of("a")])
    coordinator.stop("Ctrl-C")
    assert guard.stop_reason() == ""  # asked a moment ago
    monkeypatch.setattr(crash_guard, "STOP_CHECK_INTERVAL_S", 0.0)
    assert guard.stop_reason() == "Ctrl-C"
