from __future__ import annotations

import pickle  # noqa: TID251
from collections.abc import Iterable
from pathlib import Path

import pytest

from raypipe.ledger.checkpoint import Checkpoint, Processed
from raypipe.ledger.facade import Ledger, RunResults
from raypipe.ledger.failure_log import FailedBook
from raypipe.state.local import LocalState
from tests.unit.ledger.documents import make_document as document


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(LocalState(str(tmp_path)))


def processed(book: str, run: int) -> Processed:
    return Processed(book, "e1", "r1", "books-1", "g1", run, 100.0 + run)


def failed(book: str, run: int, kind: str = "read") -> FailedBook:
    return FailedBook(
        book, f"{book}.txt", "e1", "r1", "read", kind, "message", True, 1, run, 100.0 + run
    )


def record_failures(ledger: Ledger, run: int, books: Iterable[FailedBook]) -> None:
    ledger.failures.append(books, run, 0, 0)


def test_unresolved_failures_leave_out_books_indexed_later(ledger: Ledger) -> None:
    record_failures(ledger, 1, [failed("a", 1), failed("b", 1)])
    ledger.checkpoint.append([processed("a", 2)], 2, 0, 0)
    assert ledger.unresolved_failures()["book_id"].to_pylist() == ["b"]


def test_an_empty_ledger_records_nothing_of_a_run(ledger: Ledger) -> None:
    assert ledger.read_back(1) == RunResults()
    assert len(ledger.unresolved_failures()) == 0


def test_a_run_is_read_back_from_its_own_parts(ledger: Ledger) -> None:
    ledger.checkpoint.append([processed("earlier", 1)], 1, 0, 0)
    ledger.checkpoint.append([processed("a", 2), processed("b", 2)], 2, 0, 0)
    books = [failed("a", 2), failed("c", 2), failed("b", 2, kind="degraded")]
    record_failures(ledger, 2, books)
    assert ledger.read_back(2) == RunResults(frozenset("ab"), frozenset("c"), degraded=1)


def test_without_an_index_finished_documents_are_done(ledger: Ledger) -> None:
    ledger.documents.append([document("a")], 2, 0, 0)
    record_failures(ledger, 2, [failed("b", 2)])
    recipe = document("a").document_recipe
    assert ledger.read_back(2, {recipe}) == RunResults(frozenset("a"), frozenset("b"))


def test_compact_merges_each_table_that_has_enough_parts(ledger: Ledger) -> None:
    recipe = document("a").document_recipe
    for task in range(3):
        ledger.checkpoint.append([processed(f"book-{task}", 1)], 1, task, 0)
        ledger.documents.append([document(f"book-{task}")], 1, task, 0)
    record_failures(ledger, 1, [failed("a", 1)])
    ledger.compact(recipe, threshold=3)
    assert len(ledger.state.list("processed/")) == 1
    assert len(ledger.state.list("documents/")) == 1
    assert len(ledger.state.list("failures/")) == 1
    assert len(ledger.checkpoint.read_run(1)) == 3


def test_a_worker_writes_through_a_pickled_ledger(ledger: Ledger) -> None:
    copy = pickle.loads(pickle.dumps(ledger))
    copy.checkpoint.append([processed("a", 1)], 1, 0, 0)
    assert ledger.read_back(1).done == {"a"}


def test_the_checkpoint_can_be_replaced(tmp_path: Path) -> None:
    class EmptyCheckpoint(Checkpoint):
        """Stands for a checkpoint with its own way of writing."""

    state = LocalState(str(tmp_path))
    assert isinstance(Ledger(state, EmptyCheckpoint(state)).checkpoint, EmptyCheckpoint)
