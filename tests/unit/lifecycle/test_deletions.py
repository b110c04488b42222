"""Books deleted from the source: which they are, how many may be, and the order of deleting."""

from __future__ import annotations

from pathlib import Path

import pytest

from raypipe.core.book import Book
from raypipe.core.errors import SetupError
from raypipe.ledger.facade import Ledger
from raypipe.ledger.tombstones import deletable_books
from raypipe.lifecycle.deleted_books import DeletedBooks, DeletionLimit, Deletions
from raypipe.lifecycle.deletions import (
    apply_deletions,
    check_deletions,
    exceeds_limit,
    find_deleted,
    restore_returned,
)
from raypipe.sources.listing import UnlistedFolder
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
    assert (set(deleted.keys), deleted.renames, deleted.removed) == ({"d"}, {"d": "renamed"}, 0)
    assert not exceeds_limit(deleted, DeletionLimit(0.0))


def test_a_deleted_book_is_deleted_once_and_restored_if_it_returns(ledger: Ledger) -> None:
    ledger.tombstones.append({"c": "shelf/c.txt", "d": "shelf/d.txt"}, 2)
    deleted = find_deleted(listed("a", "b", "c"), SOURCE, ledger)
    assert (deleted.keys, deleted.returned, deleted.known) == ({}, ["c"], 2)
    restore_returned(deleted, ledger, 3)
    assert ledger.tombstones.renames().keys() == {"d"}


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
    assert apply_deletions(deleted, ledger, [index.index], RUN) == Deletions(deleted=1)
    assert set(index.etags) == {"a"}
    assert ledger.checkpoint.read_generation("g-books-1")["book_id"].to_pylist() == ["a"]
    assert ledger.tombstones.renames().keys() == {"d"}
    assert apply_deletions(DeletedBooks(), ledger, [index.index], RUN) == Deletions()


def test_nothing_is_recorded_before_the_index_has_deleted_the_books(ledger: Ledger) -> None:
    index = FakeIndex("books-1", {"a": "etag-a", "d": "etag-d"})
    record_processed(ledger, index)
    index.refuses_deletes = True
    deleted = DeletedBooks({"d": "shelf/d.txt"}, known=4)
    with pytest.raises(SetupError, match="refuses deletes"):
        apply_deletions(deleted, ledger, [index.index], RUN)
    assert len(ledger.checkpoint.read_generation("g-books-1")) == 2
    assert ledger.tombstones.renames().keys() == set()


def test_each_new_book_is_the_new_name_of_one_book(ledger: Ledger) -> None:
    copies = [document(f"copy-{number}", source="library", etag="same") for number in range(900)]
    ledger.documents.append(copies, 1, 1, 0)
    books = [*listed("a", "b", "c", "d"), *listed("new", etag="same")]
    deleted = find_deleted(books, SOURCE, ledger)
    assert (len(deleted.keys), len(deleted.renames), deleted.removed) == (900, 1, 899)
    with pytest.raises(SetupError, match=r"899 of 904 books are gone"):
        check_deletions(deleted, DeletionLimit(), "shelf/*.txt")


def test_a_rename_is_recognized_after_the_new_name_was_indexed(ledger: Ledger) -> None:
    ledger.documents.append([document("new", source="library", etag="etag-d")], 2, 0, 0)
    deleted = find_deleted(listed("a", "b", "c", "new", etag=""), SOURCE, ledger)
    assert deleted.renames == {}, "the new book has another ETag, name and size"
    books = [*listed("a", "b", "c"), *listed("new", etag="etag-d")]
    assert find_deleted(books, SOURCE, ledger).renames == {"d": "new"}


def test_a_copy_that_was_always_there_is_no_new_name(ledger: Ledger) -> None:
    ledger.documents.append([document("copy", source="library", etag="etag-d")], 1, 1, 0)
    books = [*listed("a", "b", "c"), *listed("copy", etag="etag-d")]
    deleted = find_deleted(books, SOURCE, ledger)
    assert (set(deleted.keys), deleted.renames) == ({"d"}, {})


def test_a_book_that_is_renamed_back_is_renamed(ledger: Ledger) -> None:
    ledger.documents.append([document("new", source="library", etag="etag-d")], 2, 0, 0)
    ledger.tombstones.append({"d": "shelf/d.txt"}, 2, {"d": "new"})
    deleted = find_deleted(listed("a", "b", "c", "d"), SOURCE, ledger)
    assert (deleted.renames, deleted.returned, deleted.removed) == ({"new": "d"}, ["d"], 0)


def test_a_moved_book_with_another_etag_is_recognized_by_name_and_size(ledger: Ledger) -> None:
    size = document("d").size
    moved = Book("moved", "shelf/sub/d.txt", "multipart-2", size, 0.0)
    other = Book("other", "shelf/sub/e.txt", "multipart-2", size, 0.0)
    deleted = find_deleted([*listed("a", "b", "c"), other, moved], SOURCE, ledger)
    assert deleted.renames == {"d": "moved"}


def test_a_renamed_book_stays_until_the_index_has_it_under_the_new_name(ledger: Ledger) -> None:
    served = FakeIndex("books-1", {"a": "etag-a", "d": "etag-d"})
    build = FakeIndex("books-2", {"a": "etag-a", "new": "etag-d"})
    for index in (served, build):
        record_processed(ledger, index)
    deleted = DeletedBooks({"d": "shelf/d.txt"}, {"d": "new"}, known=4)

    waiting = apply_deletions(deleted, ledger, [served.index], RUN)
    assert (waiting, set(served.etags)) == (Deletions(waiting=1), {"a", "d"})
    assert not ledger.tombstones.renames()

    done = apply_deletions(deleted, ledger, [build.index, served.index], RUN + 1)
    assert (done, set(served.etags)) == (Deletions(deleted=1), {"a", "d"})
    assert ledger.tombstones.renames() == {"d": "new"}

    served.etags["new"] = "etag-d"
    record_processed(ledger, served, RUN + 2)
    apply_deletions(DeletedBooks(), ledger, [served.index], RUN + 2)
    assert set(served.etags) == {"a", "new"}


def test_a_book_that_was_renamed_twice_is_followed_to_its_last_name() -> None:
    renames = {"a": "b", "b": "c", "gone": "", "x": "y", "y": "x"}
    assert deletable_books(renames, {"c"}) == {"a", "b", "gone"}
    assert deletable_books(renames, {"b"}) == {"a", "gone"}
    assert deletable_books({"a": "b", "b": ""}, set()) == {"a", "b"}


@pytest.mark.parametrize(
    ("prefix", "deleted", "unseen"),
    [
        ("", set(), {"c", "d", "deep"}),
        ("shelf/", set(), {"c", "d", "deep"}),
        ("shelf/deep/", {"c", "d"}, {"deep"}),
        ("shelf/de/", {"c", "d", "deep"}, set()),
        ("shel/", {"c", "d", "deep"}, set()),
    ],
)
def test_nothing_is_deleted_below_a_folder_that_could_not_be_listed(
    ledger: Ledger, prefix: str, deleted: set[str], unseen: set[str]
) -> None:
    deep = document("deep", source="library", key="shelf/deep/deep.txt")
    ledger.documents.append([deep], 1, 1, 0)
    folders = [UnlistedFolder("shelf/other/", "why"), UnlistedFolder(prefix, "why")]
    found = find_deleted(listed("a", "b"), SOURCE, ledger, unlisted=folders)
    assert (set(found.keys), found.unseen, found.known) == (deleted, unseen, 5)


def test_a_purge_loses_no_books_in_folders_that_could_not_be_listed() -> None:
    deleted = DeletedBooks(unseen={"a", "b"}, known=100)
    check_deletions(deleted, DeletionLimit(), "shelf/*.txt")
    with pytest.raises(SetupError, match=r"purge=true deletes 2 books .*allow_deletes=true"):
        check_deletions(deleted, DeletionLimit(), "shelf/*.txt", purge=True)
    check_deletions(deleted, DeletionLimit(allow_all=True), "shelf/*.txt", purge=True)
