from __future__ import annotations

from raypipe.core.book import Book
from raypipe.verify.reconcile import IndexedVersion, reconcile


def books(**etags: str) -> list[Book]:
    return [Book(name, f"{name}.txt", etag, 1, 0.0) for name, etag in etags.items()]


def test_a_book_that_agrees_is_good_and_the_exit_code_is_0() -> None:
    result = reconcile(books(a="1"), {"a": IndexedVersion("1")}, {"a": IndexedVersion("1")}, set())
    assert (result.good, result.exit_code) == (["a.txt"], 0)


def test_each_difference_is_listed_and_the_exit_code_is_1() -> None:
    listing = books(lost="1", other="1", unknown="1")
    result = reconcile(
        listing,
        {"lost": IndexedVersion("1"), "other": IndexedVersion("1")},
        {"other": IndexedVersion("2"), "unknown": IndexedVersion("1")},
        set(),
    )
    assert result.missing == ["lost.txt"]
    assert result.differing == ["other.txt"]
    assert result.unledgered == ["unknown.txt"]
    assert result.exit_code == 1


def test_a_processed_book_that_is_neither_listed_nor_indexed_is_missing() -> None:
    assert reconcile([], {"x": IndexedVersion("1")}, {}, set()).missing == ["x"]


def test_failed_changed_new_and_removed_books() -> None:
    listing = books(bad="1", changed="2", new="1")
    result = reconcile(
        listing,
        {"changed": IndexedVersion("1")},
        {"changed": IndexedVersion("1"), "gone": IndexedVersion("1")},
        {"bad"},
    )
    assert (result.failed, result.pending) == (["bad.txt"], ["changed.txt", "new.txt"])
    assert result.removed == ["gone"]
    assert result.exit_code == 3


def test_with_only_pending_books_the_exit_code_is_4() -> None:
    assert reconcile(books(a="1"), {}, {}, set()).exit_code == 4


def test_a_document_of_another_recipe_differs() -> None:
    recorded, present = {"a": IndexedVersion("1", "new")}, {"a": IndexedVersion("1", "old")}
    result = reconcile(books(a="1"), recorded, present, set())
    assert (result.differing, result.exit_code) == (["a.txt"], 1)


def test_an_indexed_book_in_a_folder_that_was_not_listed_is_not_removed() -> None:
    versions = {name: IndexedVersion("1") for name in ("seen", "unseen", "gone")}
    result = reconcile(books(seen="1"), versions, versions, set(), {"unseen", "never indexed"})
    assert (result.good, result.unseen, result.removed) == (["seen.txt"], ["unseen"], ["gone"])
    assert result.exit_code == 3
