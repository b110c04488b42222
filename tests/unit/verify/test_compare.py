from __future__ import annotations

import pytest

from raypipe.embedders.hash import HashEmbedder
from raypipe.verify.compare import Candidate, compare
from raypipe.verify.legacy_results import LegacyResult

TOPICS = ["whales and ships", "tea and trains", "bees in winter", "a stolen violin", "two sisters"]
NEW = [
    Candidate(
        f"novels/Book_{number}__by__Ann.txt", f"Book {number}", "Ann", f"It tells of {topic}."
    )
    for number, topic in enumerate(TOPICS)
]
EMBEDDER = HashEmbedder(dimension=512)


def legacy_result(number: int, **changes: str) -> LegacyResult:
    settings = {
        "file": "old.json",
        "key": NEW[number].key,
        "title": f"Book {number}",
        "author": "Ann",
        "summary": f"A story of {TOPICS[number]} and more.",
    }
    return LegacyResult(**{**settings, **changes})


def test_equal_books_are_good() -> None:
    comparison = compare([legacy_result(number) for number in range(5)], NEW, EMBEDDER)
    assert (len(comparison.good), comparison.new, comparison.exit_code) == (5, 0, 0)
    differences = (comparison.lacking, comparison.unlike, comparison.titles, comparison.unlisted)
    assert differences == ([], [], [], [])


@pytest.mark.parametrize(
    "key",
    [
        "s3://bucket/novels/Book_1__by__Ann.txt",
        "Book_1__by__Ann",
        "Book_1__by__Ann.txt",
        "other/book 1 by ann",
        "anything",
    ],
)
def test_a_book_is_matched_by_key_or_file_name_or_title(key: str) -> None:
    assert compare([legacy_result(1, key=key)], NEW, EMBEDDER).good == [NEW[1].key]


def test_a_name_that_two_books_share_matches_neither() -> None:
    two = [Candidate(f"{folder}/same.txt", "One", "Ann", "x") for folder in "ab"]
    assert compare([legacy_result(0, key="same")], two, EMBEDDER).unlisted == ["Book 0"]


def test_a_listed_book_without_a_document_is_lacking() -> None:
    comparison = compare([legacy_result(0)], [Candidate(NEW[0].key, finished=False)], EMBEDDER)
    assert (comparison.lacking, comparison.exit_code) == ([NEW[0].key], 1)


def test_a_book_that_is_not_listed_does_not_change_the_exit_code() -> None:
    comparison = compare([legacy_result(0, key="gone.txt", title="Gone")], NEW, EMBEDDER)
    assert (comparison.unlisted, comparison.new, comparison.exit_code) == (["Gone"], 5, 0)


def test_a_summary_of_another_book_is_unlike() -> None:
    comparison = compare(
        [legacy_result(0, summary=f"A story of {TOPICS[3]}."), legacy_result(1)], NEW, EMBEDDER
    )
    assert (comparison.unlike, comparison.good, comparison.exit_code) == (
        [NEW[0].key],
        [NEW[1].key],
        1,
    )
    assert not compare(
        [legacy_result(0, summary=f"A story of {TOPICS[3]}.")], NEW, EMBEDDER, 1.0
    ).unlike


def test_a_book_with_another_title_is_good_and_listed_under_titles() -> None:
    comparison = compare(
        [legacy_result(0, title="A Book"), legacy_result(1, title="BOOK, 1")], NEW, EMBEDDER
    )
    assert (comparison.titles, len(comparison.good), comparison.exit_code) == ([NEW[0].key], 2, 0)


def test_processed_keys_need_only_a_finished_document() -> None:
    results = [LegacyResult("processed_books.pkl", candidate.key) for candidate in NEW]
    assert len(compare(results, NEW, EMBEDDER).good) == 5
