from __future__ import annotations

from pathlib import Path

import pytest

from raypipe.core.errors import BookError
from raypipe.ledger.document_store import DocumentStore
from raypipe.ledger.tombstones import Tombstones
from raypipe.sources.finished_documents import FinishedDocumentSource
from raypipe.sources.protocol import BookSource
from raypipe.state.local import LocalState
from tests.unit.ledger.documents import make_document as document


@pytest.fixture
def documents(tmp_path: Path) -> DocumentStore:
    return DocumentStore(LocalState(str(tmp_path)))


def test_finished_documents_are_listed_and_not_read(documents: DocumentStore) -> None:
    documents.append([document("a")], 1, 0, 0)
    source = FinishedDocumentSource(documents, "d1", frozenset({"d1"}))
    [book] = source.list_books()
    assert (book.book_id, book.key, book.etag, book.size) == ("a", "a.txt", "e1", 10)
    with pytest.raises(BookError) as raised:
        source.read(book)
    assert (raised.value.kind, raised.value.retryable) == ("lost", True)


def test_deleted_books_are_not_listed(documents: DocumentStore) -> None:
    documents.append([document("a"), document("b")], 1, 0, 0)
    Tombstones(documents.state).append({"b": "b.txt"}, 2)
    books = FinishedDocumentSource(documents, "d1", frozenset({"d1"})).list_books()
    assert [book.book_id for book in books] == ["a"]


def test_a_book_that_is_not_listed_may_still_exist(documents: DocumentStore) -> None:
    source: BookSource = FinishedDocumentSource(documents, "d1", frozenset({"d1"}))
    assert not source.lists_whole_source
    assert not source.selects("a.txt")
    assert (source.locations, source.connection) == ({}, None)


def test_the_newest_document_of_all_accepted_recipes_is_listed(documents: DocumentStore) -> None:
    documents.append([document("a"), document("b")], 1, 0, 0)
    documents.append([document("a", etag="e2", document_recipe="d2")], 2, 0, 0)
    documents.append([document("c", document_recipe="d3")], 3, 0, 0)
    books = FinishedDocumentSource(documents, "d2", frozenset({"d1", "d2"})).list_books()
    assert {book.book_id: book.etag for book in books} == {"a": "e2", "b": "e1"}


def test_a_renamed_book_is_listed_under_the_old_name_until_the_new_one_is_finished(
    documents: DocumentStore,
) -> None:
    documents.append([document("old"), document("b")], 1, 0, 0)
    Tombstones(documents.state).append({"old": "old.txt"}, 2, {"old": "new"})
    source = FinishedDocumentSource(documents, "d1", frozenset({"d1"}))
    assert {book.book_id for book in source.list_books()} == {"old", "b"}
    documents.append([document("new")], 3, 0, 0)
    assert {book.book_id for book in source.list_books()} == {"new", "b"}
