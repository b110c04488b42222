from __future__ import annotations

from raypipe.core.book import Book
from raypipe.run.planner import KnownFailure, LedgerSnapshot, plan_run


def book(name: str, etag: str = "v1") -> Book:
    return Book(name, f"{name}.txt", etag, 10, 0.0)


def test_takes_new_books_and_skips_processed_versions() -> None:
    known = LedgerSnapshot(processed={("a", "v1"), ("b", "v0")})
    result = plan_run([book("a"), book("b"), book("c")], known, recipe="r")
    assert result.processed == ["a"]
    assert [one.book_id for one in result.new] == ["b", "c"]  # b changed: another ETag


def test_finished_books_go_straight_to_the_sink() -> None:
    known = LedgerSnapshot(finished={("a", "v1"): "r/part-1"}, summarized={("b", "v1"): "q/part-2"})
    result = plan_run([book("a"), book("b"), book("c")], known, recipe="r")
    assert {one.book_id: one.part for one in result.ready} == {"a": "r/part-1", "b": "q/part-2"}
    assert [one.book_id for one in result.new] == ["c"]


def test_a_finished_version_beats_a_summarized_one() -> None:
    version = ("a", "v1")
    known = LedgerSnapshot(finished={version: "r/part-1"}, summarized={version: "q/part-2"})
    assert plan_run([book("a")], known, recipe="r").ready[0].part == "r/part-1"


def test_failures_that_may_pass_are_tried_until_the_cap() -> None:
    failures = {
        "a": KnownFailure("v1", "r", retryable=True, attempts=2),
        "b": KnownFailure("v1", "r", retryable=True, attempts=3),
        "c": KnownFailure("v1", "r", retryable=False, attempts=1),
    }
    result = plan_run([book(name) for name in "abc"], LedgerSnapshot(failures=failures), recipe="r")
    assert [(one.book_id, one.attempts) for one in result.new] == [("a", 2)]
    assert result.known_failures == ["b", "c"]


def test_lasting_failures_are_tried_too_if_asked_for() -> None:
    failures = {"a": KnownFailure("v1", "r", retryable=False, attempts=7)}
    result = plan_run([book("a")], LedgerSnapshot(failures=failures), recipe="r", lasting=True)
    assert [(one.book_id, one.attempts) for one in result.new] == [("a", 7)]


def test_a_lasting_failure_is_tried_again_when_the_book_or_the_recipe_changed() -> None:
    failures = {"a": KnownFailure("v1", "r", retryable=False, attempts=1)}
    changed = plan_run([book("a", "v2")], LedgerSnapshot(failures=failures), recipe="r")
    other = plan_run([book("a")], LedgerSnapshot(failures=failures), recipe="r2")
    assert [one.attempts for one in (*changed.new, *other.new)] == [0, 0]


def test_limit_counts_what_is_taken_not_what_is_skipped() -> None:
    known = LedgerSnapshot(processed={("a", "v1")})
    result = plan_run([book(name) for name in "abcd"], known, recipe="r", limit=2)
    assert [one.book_id for one in result.todo] == ["b", "c"]
    assert result.over_limit == ["d"]
    assert result.listed == set("abcd")


def test_without_a_checkpoint_every_book_is_taken_anew() -> None:
    known = LedgerSnapshot(processed={("a", "v1")}, finished={("b", "v1"): "r/part-1"})
    result = plan_run([book("a"), book("b")], known, recipe="r", skip=False)
    assert [one.book_id for one in result.new] == ["a", "b"]
    assert not result.ready


def test_a_book_that_is_asked_for_again_is_read_whatever_is_finished_of_it() -> None:
    version = ("a", "v1")
    known = LedgerSnapshot(processed={version}, finished={version: "r/part-1"})
    result = plan_run([book("a"), book("b")], known, recipe="r", again={"a"})
    assert [(one.book_id, one.part) for one in result.new] == [("a", ""), ("b", "")]
    assert (result.processed, result.ready) == ([], [])
