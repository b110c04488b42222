from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path

import pytest

from raypipe.core.book import Book
from raypipe.core.errors import SetupError
from raypipe.run.planner import (
    BookSelection,
    KnownFailure,
    LedgerSnapshot,
    list_source,
    plan_run,
)
from raypipe.sources.local import LocalBookSource
from tests.unit.sources.broken_folders import failing


def book(name: str, etag: str = "v1") -> Book:
    return Book(name, f"{name}.txt", etag, 10, 0.0)


def ids(books: list[Book]) -> list[str]:
    return [book.book_id for book in books]


def test_new_and_changed_books_are_processed_and_processed_versions_skipped() -> None:
    snapshot = LedgerSnapshot(processed={("a", "v1"), ("b", "v0")})
    plan = plan_run([book("a"), book("b"), book("c")], snapshot)
    assert plan.processed == ["a"]
    assert ids(plan.new) == ["b", "c"]  # b has changed: another ETag


def test_finished_books_are_not_read() -> None:
    snapshot = LedgerSnapshot(
        finished={("a", "v1"): "r/part-1"}, summarized={("b", "v1"): "q/part-2"}
    )
    plan = plan_run([book("a"), book("b"), book("c")], snapshot)
    assert {book.book_id: book.part for book in plan.ready} == {"a": "r/part-1", "b": "q/part-2"}
    assert ids(plan.new) == ["c"]


def test_a_finished_document_beats_a_summary() -> None:
    version = ("a", "v1")
    snapshot = LedgerSnapshot(finished={version: "r/part-1"}, summarized={version: "q/part-2"})
    assert plan_run([book("a")], snapshot).ready[0].part == "r/part-1"


def test_retryable_failures_are_tried_up_to_the_maximum_of_attempts() -> None:
    failures = {
        "a": KnownFailure("v1", "r", retryable=True, attempts=2),
        "b": KnownFailure("v1", "r", retryable=True, attempts=3),
        "c": KnownFailure("v1", "r", retryable=False, attempts=1),
    }
    plan = plan_run(
        [book(name) for name in "abc"], LedgerSnapshot(failures=failures, recipes={"r"})
    )
    assert [(book.book_id, book.attempts) for book in plan.new] == [("a", 2)]
    assert plan.known_failures == ["b", "c"]


def test_what_the_index_refused_is_tried_again_without_limit_after_all_other_books() -> None:
    refused = KnownFailure("v1", "r", retryable=False, attempts=9, is_index_fault=True)
    failures = {"a": refused, "b": refused}
    finished = {(name, "v1"): f"r/part-{name}" for name in "abc"}
    snapshot = LedgerSnapshot(failures=failures, finished=finished, recipes={"r"})
    books = [book(name) for name in "abcd"]
    plan = plan_run(books, snapshot, BookSelection(max_attempts=1))
    assert ids(plan.todo) == ["c", "d", "a", "b"], "many of them would stop the run"
    plan = plan_run(books, snapshot, BookSelection(limit=2))
    assert (ids(plan.todo), plan.over_limit) == (["c", "d"], ["a", "b"])


def test_permanent_failures_are_tried_on_request() -> None:
    failures = {"a": KnownFailure("v1", "r", retryable=False, attempts=7)}
    selection = BookSelection(include_permanent_failures=True)
    plan = plan_run([book("a")], LedgerSnapshot(failures=failures, recipes={"r"}), selection)
    assert [(book.book_id, book.attempts) for book in plan.new] == [("a", 7)]


def test_a_permanent_failure_is_tried_again_if_the_book_or_the_recipe_changed() -> None:
    failures = {"a": KnownFailure("v1", "r", False, attempts=1)}
    snapshot = LedgerSnapshot(failures=failures, recipes={"r"})
    changed_book = plan_run([book("a", "v2")], snapshot)
    changed_recipe = plan_run([book("a")], replace(snapshot, recipes={"r2"}))
    assert [book.attempts for book in (*changed_book.new, *changed_recipe.new)] == [0, 0]


def test_a_failure_under_an_accepted_older_recipe_still_counts() -> None:
    failures = {"a": KnownFailure("v1", "older", False, attempts=1)}
    plan = plan_run([book("a")], LedgerSnapshot(failures=failures, recipes={"r", "older"}))
    assert plan.known_failures == ["a"]


def test_a_processed_book_that_the_index_lacks_is_indexed_again() -> None:
    version = ("a", "v1")
    snapshot = LedgerSnapshot({version, ("b", "v1")}, {version: "r/part-1"}, missing={"a"})
    plan = plan_run([book("a"), book("b")], snapshot)
    assert (ids(plan.ready), plan.processed) == (["a"], ["b"])


def test_the_limit_counts_processed_books_not_skipped_ones() -> None:
    snapshot = LedgerSnapshot(processed={("a", "v1")})
    books = [book(name) for name in "abcd"]
    plan = plan_run(books, snapshot, BookSelection(limit=2))
    assert ids(plan.todo) == ["b", "c"]
    assert plan.over_limit == ["d"]
    assert plan.listed == set("abcd")


def test_without_a_checkpoint_every_book_is_read() -> None:
    snapshot = LedgerSnapshot(processed={("a", "v1")}, finished={("b", "v1"): "r/part-1"})
    plan = plan_run([book("a"), book("b")], snapshot, BookSelection(skip_processed=False))
    assert ids(plan.new) == ["a", "b"]
    assert not plan.ready


def test_a_reprocessed_book_is_read_even_if_it_is_finished() -> None:
    version = ("a", "v1")
    snapshot = LedgerSnapshot(processed={version}, finished={version: "r/part-1"})
    selection = BookSelection(reprocess={"a"})
    plan = plan_run([book("a"), book("b")], snapshot, selection)
    assert [(book.book_id, book.part) for book in plan.new] == [("a", ""), ("b", "")]
    assert (plan.processed, plan.ready) == ([], [])


def test_a_source_without_books_is_an_error(tmp_path: Path) -> None:
    """An empty listing would delete every book from the index."""
    with pytest.raises(SetupError, match="no books found"):
        list_source(LocalBookSource(str(tmp_path)))


def test_a_folder_that_cannot_be_listed_is_named_if_there_are_no_books(tmp_path: Path) -> None:
    (tmp_path / "shelf").mkdir()
    with (
        failing(tmp_path / "shelf", errno.EACCES),
        pytest.raises(SetupError, match=r"no books found: .*; 1 folder cannot be listed: 'shelf/'"),
    ):
        list_source(LocalBookSource(str(tmp_path)))


def test_only_chosen_books_are_listed(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.txt").write_text(name)
    source = LocalBookSource(str(tmp_path))
    first, _ = list_source(source).books
    assert list_source(source, {first.book_id, "unknown"}).books == [first]
    assert list_source(source, set()).books == []
