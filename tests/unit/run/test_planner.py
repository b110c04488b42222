from __future__ import annotations

import errno
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raypipe.core.book import Book
from raypipe.core.book_table import BookTable
from raypipe.core.errors import SetupError
from raypipe.run.planner import (
    BookSelection,
    KnownFailure,
    LedgerSnapshot,
    plan_run,
)
from raypipe.sources.listing import list_source
from raypipe.sources.local import LocalBookSource
from raypipe.state.version_index import Version, VersionIndex, VersionSet
from tests.unit.sources.broken_folders import failing


def book(name: str, etag: str = "v1") -> Book:
    return Book(name, f"{name}.txt", etag, 10, 0.0)


def ids(books: Iterable[Book]) -> list[str]:
    return [book.book_id for book in books]


def snapshot_of(
    processed: Iterable[Version] = (),
    finished: Mapping[Version, str] | None = None,
    summarized: Mapping[Version, str] | None = None,
    **others: Any,
) -> LedgerSnapshot:
    return LedgerSnapshot(
        VersionSet.of(set(processed)),
        lambda: VersionIndex.of(finished or {}),
        lambda: VersionIndex.of(summarized or {}),
        **others,
    )


def test_new_and_changed_books_are_processed_and_processed_versions_skipped() -> None:
    snapshot = snapshot_of(processed={("a", "v1"), ("b", "v0")})
    plan = plan_run([book("a"), book("b"), book("c")], snapshot)
    assert plan.processed.to_pylist() == ["a"]
    assert ids(plan.new) == ["b", "c"]  # b has changed: another ETag


def test_finished_books_are_not_read() -> None:
    snapshot = snapshot_of(finished={("a", "v1"): "r/part-1"}, summarized={("b", "v1"): "q/part-2"})
    plan = plan_run([book("a"), book("b"), book("c")], snapshot)
    assert {book.book_id: book.part for book in plan.ready} == {"a": "r/part-1", "b": "q/part-2"}
    assert ids(plan.new) == ["c"]


def test_a_finished_document_beats_a_summary() -> None:
    version = ("a", "v1")
    snapshot = snapshot_of(finished={version: "r/part-1"}, summarized={version: "q/part-2"})
    assert plan_run([book("a")], snapshot).ready[0].part == "r/part-1"


def test_retryable_failures_are_tried_up_to_the_maximum_of_attempts() -> None:
    failures = {
        "a": KnownFailure("v1", "r", retryable=True, attempts=2),
        "b": KnownFailure("v1", "r", retryable=True, attempts=3),
        "c": KnownFailure("v1", "r", retryable=False, attempts=1),
    }
    plan = plan_run([book(name) for name in "abc"], snapshot_of(failures=failures, recipes={"r"}))
    assert [(book.book_id, book.attempts) for book in plan.new] == [("a", 2)]
    assert plan.known_failures.to_pylist() == ["b", "c"]


def test_what_the_index_refused_is_tried_again_without_limit_after_all_other_books() -> None:
    refused = KnownFailure("v1", "r", retryable=False, attempts=9, is_index_fault=True)
    failures = {"a": refused, "b": refused}
    finished = {(name, "v1"): f"r/part-{name}" for name in "abc"}
    snapshot = snapshot_of(failures=failures, finished=finished, recipes={"r"})
    books = [book(name) for name in "abcd"]
    plan = plan_run(books, snapshot, BookSelection(max_attempts=1))
    assert ids(plan.todo) == ["c", "d", "a", "b"], "many of them would stop the run"
    plan = plan_run(books, snapshot, BookSelection(limit=2))
    assert (ids(plan.todo), plan.over_limit.to_pylist()) == (["c", "d"], ["a", "b"])


def test_permanent_failures_are_tried_on_request() -> None:
    failures = {"a": KnownFailure("v1", "r", retryable=False, attempts=7)}
    selection = BookSelection(include_permanent_failures=True)
    plan = plan_run([book("a")], snapshot_of(failures=failures, recipes={"r"}), selection)
    assert [(book.book_id, book.attempts) for book in plan.new] == [("a", 7)]


def test_a_permanent_failure_is_tried_again_if_the_book_or_the_recipe_changed() -> None:
    failures = {"a": KnownFailure("v1", "r", False, attempts=1)}
    snapshot = snapshot_of(failures=failures, recipes={"r"})
    changed_book = plan_run([book("a", "v2")], snapshot)
    changed_recipe = plan_run([book("a")], replace(snapshot, recipes={"r2"}))
    assert [book.attempts for book in (*changed_book.new, *changed_recipe.new)] == [0, 0]


def test_a_failure_under_an_accepted_older_recipe_still_counts() -> None:
    failures = {"a": KnownFailure("v1", "older", False, attempts=1)}
    plan = plan_run([book("a")], snapshot_of(failures=failures, recipes={"r", "older"}))
    assert plan.known_failures.to_pylist() == ["a"]


def test_a_processed_book_that_the_index_lacks_is_indexed_again() -> None:
    version = ("a", "v1")
    snapshot = snapshot_of({version, ("b", "v1")}, {version: "r/part-1"}, missing={"a"})
    plan = plan_run([book("a"), book("b")], snapshot)
    assert (ids(plan.ready), plan.processed.to_pylist()) == (["a"], ["b"])


def test_the_limit_counts_processed_books_not_skipped_ones() -> None:
    snapshot = snapshot_of(processed={("a", "v1")})
    books = [book(name) for name in "abcd"]
    plan = plan_run(books, snapshot, BookSelection(limit=2))
    assert ids(plan.todo) == ["b", "c"]
    assert plan.over_limit.to_pylist() == ["d"]
    assert (plan.listed, set(plan.listed_ids.to_pylist())) == (4, set("abcd"))


def test_without_a_checkpoint_every_book_is_read() -> None:
    snapshot = snapshot_of(processed={("a", "v1")}, finished={("b", "v1"): "r/part-1"})
    plan = plan_run([book("a"), book("b")], snapshot, BookSelection(skip_processed=False))
    assert ids(plan.new) == ["a", "b"]
    assert not plan.ready


def test_a_reprocessed_book_is_read_even_if_it_is_finished() -> None:
    version = ("a", "v1")
    snapshot = snapshot_of(processed={version}, finished={version: "r/part-1"})
    selection = BookSelection(reprocess={"a"})
    plan = plan_run([book("a"), book("b")], snapshot, selection)
    assert [(book.book_id, book.part) for book in plan.new] == [("a", ""), ("b", "")]
    assert (len(plan.processed), len(plan.ready)) == (0, 0)


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
    assert (
        list_source(source, {first.book_id, "unknown"}).books.table.to_pylist()
        == BookTable.of([first]).table.to_pylist()
    )
    assert list_source(source, set()).books.table.num_rows == 0


NAMES = st.sampled_from("abcdef")
VERSIONS = st.tuples(NAMES, st.sampled_from(["v1", "v2"]))
FAILURES = st.builds(
    KnownFailure,
    st.sampled_from(["v1", "v2"]),
    st.sampled_from(["r", "older", "other"]),
    st.booleans(),
    st.integers(1, 4),
    st.booleans(),
)


@settings(max_examples=150, deadline=None)
@given(
    listing=st.lists(VERSIONS, max_size=6, unique_by=lambda version: version[0]),
    processed=st.sets(VERSIONS, max_size=6),
    finished=st.dictionaries(VERSIONS, st.sampled_from(["r/p1", "r/p2"]), max_size=4),
    summarized=st.dictionaries(VERSIONS, st.sampled_from(["q/p1", "q/p2"]), max_size=4),
    failures=st.dictionaries(NAMES, FAILURES, max_size=4),
    missing=st.sets(NAMES, max_size=2),
    limit=st.none() | st.integers(0, 4),
    chosen=st.tuples(st.booleans(), st.booleans(), st.sets(NAMES, max_size=2)),
)
def test_the_columns_are_planned_as_the_books_one_by_one(
    listing: list[Version],
    processed: set[Version],
    finished: dict[Version, str],
    summarized: dict[Version, str],
    failures: dict[str, KnownFailure],
    missing: set[str],
    limit: int | None,
    chosen: tuple[bool, bool, set[str]],
) -> None:
    skip_processed, include_permanent, reprocess = chosen
    selection = BookSelection(limit, skip_processed, 3, include_permanent, None, reprocess)
    snapshot = snapshot_of(
        processed, finished, summarized, failures=failures, recipes={"r", "older"}, missing=missing
    )
    books = [book(name, etag) for name, etag in listing]
    plan = plan_run(books, snapshot, selection)

    done, permanent, over = [], [], []
    todo: list[Book] = []
    for each in sorted(books, key=lambda book: _is_refused(failures.get(book.book_id))):
        version = (each.book_id, each.etag)
        failure = failures.get(each.book_id)
        if failure and (failure.etag != each.etag or failure.recipe == "other"):
            failure = None
        again = not skip_processed or each.book_id in reprocess
        if not again and version in processed and each.book_id not in missing:
            done.append(each.book_id)
        elif not (again or include_permanent) and failure and failure.is_permanent(3):
            permanent.append(each.book_id)
        elif limit is not None and len(todo) >= limit:
            over.append(each.book_id)
        else:
            part = "" if again else finished.get(version) or summarized.get(version) or ""
            attempts = failure.attempts if failure else 0
            todo.append(replace(each, attempts=attempts, part=part))
    ready = sorted((each for each in todo if each.part), key=lambda book: book.part)
    new = [each for each in todo if not each.part]
    assert (list(plan.ready), list(plan.new)) == (ready, new)
    assert plan.processed.to_pylist() == done
    assert plan.known_failures.to_pylist() == permanent
    assert plan.over_limit.to_pylist() == over
    assert plan.listed == len(listing)
    assert not plan.repeated_ids
    first = [each for each in ready if not each.attempts]
    assert list(plan.todo) == [*first, *new, *(each for each in ready if each.attempts)]


def _is_refused(failure: KnownFailure | None) -> bool:
    return failure is not None and failure.is_index_fault


def test_a_book_that_is_listed_twice_counts_once() -> None:
    plan = plan_run([book("a"), book("b"), book("a", "v2")], snapshot_of({("a", "v1")}))
    assert (plan.listed, plan.repeated_ids, ids(plan.new)) == (2, {"a"}, ["b", "a"])
