"""The order of the sink: documents, bulk requests, then what the index acknowledged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from raypipe.coordination.run_coordinator import RunCoordinator
from raypipe.core.book import Book, Document, Failure, Row
from raypipe.core.fingerprint import Recipe
from raypipe.core.options import BreakerOptions
from raypipe.ledger.facade import Ledger, RunResults
from raypipe.opensearch.bulk.error_policy import SinkError
from raypipe.opensearch.bulk.results import LEFT, Counters, Rejected
from raypipe.opensearch.index import Index
from raypipe.run.book_sink import BookSink
from raypipe.run.group_commit import GroupLimits
from raypipe.state.local import LocalState
from tests.unit.opensearch.builders import document, ref_at

RUN = 7
RECIPE = Recipe("text-1", "summary-1", "document-1")
Write = Callable[[Sequence[Document]], dict[str, Rejected]]


class LocalCoordinator(RunCoordinator):
    """A coordinator without an actor."""

    def node_id(self) -> str:
        return "here"

    def worker_id(self) -> str:
        return "writer"


class FakeIndex:
    """An index whose writer calls a function, which returns the rejected documents by id."""

    def __init__(self, write: Write) -> None:
        self.ref = ref_at("http://nowhere")
        self._write = write

    def parallel_writer(self, *_: Any) -> Any:
        return SimpleNamespace(write=lambda documents: (self._write(documents), Counters()))


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(LocalState(str(tmp_path)))


def row(book_id: str, part: str = "", degraded: str = "") -> Row:
    book = Book(book_id, f"{book_id}.txt", "etag-1", 10, 0.0, part=part)
    return Row(book, document(book_id, degraded=degraded))


def write_books(ledger: Ledger, write: Write, rows: Sequence[Row]) -> RunCoordinator:
    """Write rows as a group of a run is written; return the coordinator with its counts."""
    coordinator = LocalCoordinator(BreakerOptions())
    sink = BookSink(ledger, RECIPE, RUN, coordinator, cast(Index, FakeIndex(write)), GroupLimits())
    sink.commit(rows, "group-1", "0")
    return coordinator


def reject(kind: str, *book_ids: str) -> Write:
    return lambda documents: {
        book_id: Rejected(book_id, kind, "why", retryable=False) for book_id in book_ids
    }


def test_only_acknowledged_books_are_processed(ledger: Ledger) -> None:
    failed = replace(row("c"), document=None, failure=Failure("read", "gone", "why", True, 1))
    coordinator = write_books(ledger, reject("mapper_parsing", "b"), [row("a"), row("b"), failed])
    assert ledger.read_back(RUN) == RunResults(frozenset("a"), frozenset("bc"))
    progress = coordinator.progress()
    assert (progress.done, progress.failed, progress.left) == (1, 2, 0)


def test_nothing_is_processed_before_the_index_acknowledged_it(ledger: Ledger) -> None:
    def abort(documents: Sequence[Document]) -> dict[str, Rejected]:
        raise SinkError("the index was deleted")

    with pytest.raises(SinkError):
        write_books(ledger, abort, [row("a")])
    assert ledger.read_back(RUN) == RunResults()
    versions = ledger.documents.finished_versions({RECIPE.document})
    assert set(versions) == {("a", "etag-1")}, "its summary is kept for the next run"


def test_documents_that_a_stop_leaves_are_no_failures(ledger: Ledger) -> None:
    coordinator = write_books(ledger, reject(LEFT, "b"), [row("a"), row("b")])
    assert ledger.read_back(RUN) == RunResults(frozenset("a"))
    assert (coordinator.progress().failed, coordinator.progress().left) == (0, 1)


def test_a_document_of_an_earlier_run_is_not_stored_again(ledger: Ledger) -> None:
    write_books(ledger, reject(LEFT), [row("a", part="document-1/part-1")])
    assert ledger.read_back(RUN).done == {"a"}
    assert RECIPE.document not in ledger.documents.recipe_names()


def test_a_degraded_document_is_indexed_and_recorded(ledger: Ledger) -> None:
    write_books(ledger, reject(LEFT), [row("a", degraded="no answer")])
    assert ledger.read_back(RUN) == RunResults(frozenset("a"), degraded=1)
