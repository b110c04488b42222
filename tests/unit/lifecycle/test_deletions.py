"""Books deleted from the source: which they are, how many may be, and the order of deleting."""

from __future__ import annotations

from pathlib import Path

import pytest

from raypipe.core.book import Book
from raypipe.core.errors import SetupError
from raypipe.ledger.facade import Ledger
from raypipe.lifecycle.deletions import (
    DeletedBooks,
    DeletionLimit,
    apply_deletions,
    check_deletions,
    find_deleted,
    restore_returned,
)
from raypipe.sources.local import LocalBookSource
from raypipe.state.local import LocalState
from tests.unit.lifecycle.fakes import RUN, FakeIndex, record_processed
from tests.unit.opensearch.builders import document

SOURCE = LocalBookSource("nowhere", prefix="shelf/", name="library")


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    ledger = Ledger(LocalState(str(tmp_path)))
    finished = [document(name, source="library", etag=f"etag-{name}") for name in "abcd"]
    ledger.documents.append(finished, 1, 0, 0)
    return ledger


def listed(*names: str, etag: str = "") -> list[Book]:
    return [Book(name, f"shelf/{name}.txt", etag or f"etag-{name}", 10, 0.0) for name in names]


def test_finished_books_that_are_not_listed_are_deleted(ledger: Ledger) -> None:
    deleted = find_deleted(listed("a", "b", "new"), SOURCE, ledger)
    assert deleted.keys == {"c": "shelf/c.txt", "d": "shelf/d.txt"}
    assert (deleted.known, deleted.removed) == (4, 2)


def test_a_run_of_chosen_books_deletes_nothing(ledger: Ledger) -> None:
    assert find_deleted(listed("a"), SOURCE, ledger, whole_source=False) == DeletedBooks()


def test_books_that_the_listing_would_not_contain_are_kept(ledger: Ledger) -> None:
    elsewhere = document("x", source="library", key="other/x.txt")
    foreign = document("y", source="another library")
    ledger.documents.append([elsewhere, foreign], 1, 1, 0)
    deleted = find_deleted(listed("a", "b", "c"), SOURCE, ledger)
    assert (set(deleted.keys), deleted.known) == ({"d"}, 4)


def test_a_renamed_book_is_deleted_and_does_not_count_as_removed(ledger: Ledger) -> None:
    books = [*listed("a", "b", "c"), *listed("renamed", etag="etag-d")]
    deleted = find_deleted(books, SOURCE, ledger)
    assert (set(deleted.keys), deleted.renamed, deleted.removed) == ({"d"}, 1, 0)
    assert not deleted.exceeds(DeletionLimit(0.0))


def test_a_deleted_book_is_deleted_once_and_restored_if_it_returns(ledger: Ledger) -> None:
    ledger.tombstones.append({"c": "shelf/c.txt", "d": "shelf/d.txt"}, 2)
    deleted = find_deleted(listed("a", "b", "c"), SOURCE, ledger)
    assert (deleted.keys, deleted.returned, deleted.known) == ({}, ["c"], 2)
    restore_returned(deleted, ledger.tombstones, 3)
    assert ledger.tombstones.active() == {"d"}


def test_more_deletions_than_the_limit_stop_the_run() -> None:
    keys = {f"{number}": f"shelf/{number}.txt" for number in range(6)}
    deleted = DeletedBooks(keys, known=100)
    with pytest.raises(SetupError, match=r"6 of 100 books are gone .*allow_deletes=true"):
        check_deletions(deleted, DeletionLimit(), "shelf/*.txt")
    check_deletions(deleted, DeletionLimit(0.06), "shelf/*.txt")
    check_deletions(deleted, DeletionLimit(allow_all=True), "shelf/*.txt")
    check_deletions(DeletedBooks(), DeletionLimit(0.0), "shelf/*.txt")


def test_deleted_books_leave_the_index_the_checkpoint_and_get_a_tombstone(ledger: Ledger) -> None:
    index = FakeIndex("books-1", {"a": "etag-a", "d": "etag-d"})
    record_processed(ledger, index)
    deleted = DeletedBooks({"d": "shelf/d.txt"}, known=4)
    assert apply_deletions(deleted, ledger, [index.index], RUN) == 1
    assert set(index.etags) == {"a"}
    assert ledger.checkpoint.read_generation("g-books-1")["book_id"].to_pylist() == ["a"]
    assert ledger.tombstones.active() == {"d"}
    assert apply_deletions(DeletedBooks(), ledger, [index.index], RUN) == 0


def test_nothing_is_recorded_before_the_index_has_deleted_the_books(ledger: Ledger) -> None:
    index = FakeIndex("books-1", {"a": "etag-a", "d": "etag-d"})
    record_processed(ledger, index)
    index.refuses_deletes = True
    deleted = DeletedBooks({"d": "shelf/d.txt"}, known=4)
    with pytest.raises(SetupError, match="refuses deletes"):
        apply_deletions(deleted, ledger, [index.index], RUN)
    assert len(ledger.checkpoint.read_generation("g-books-1")) == 2
    assert ledger.tombstones.active() == set()
