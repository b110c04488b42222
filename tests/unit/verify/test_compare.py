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


def old(number: int, **changed: str) -> LegacyResult:
    settings = {
        "place": "old.json",
        "key": NEW[number].key,
        "title": f"Book {number}",
        "author": "Ann",
        "summary": f"A story of {TOPICS[number]} and more.",
    }
    return LegacyResult(**{**settings, **changed})


def test_equal_books_are_good() -> None:
    found = compare([old(number) for number in range(5)], NEW, EMBEDDER)
    assert (len(found.good), found.new, found.exit_code) == (5, 0, 0)
    assert found.lacking + found.unlike + found.titles + found.unlisted == []


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
def test_a_book_is_found_by_key_or_name_or_title(key: str) -> None:
    assert compare([old(1, key=key)], NEW, EMBEDDER).good == [NEW[1].key]


def test_a_name_that_two_books_have_finds_neither() -> None:
    two = [Candidate(f"{folder}/same.txt", "One", "Ann", "x") for folder in "ab"]
    assert compare([old(0, key="same")], two, EMBEDDER).unlisted == ["Book 0"]


def test_a_listed_book_without_a_document_is_lacking() -> None:
    found = compare([old(0)], [Candidate(NEW[0].key, finished=False)], EMBEDDER)
    assert (found.lacking, found.exit_code) == ([NEW[0].key], 1)


def test_a_book_that_is_gone_is_only_named() -> None:
    found = compare([old(0, key="gone.txt", title="Gone")], NEW, EMBEDDER)
    assert (found.unlisted, found.new, found.exit_code) == (["Gone"], 5, 0)


def test_a_summary_of_another_book_is_unlike() -> None:
    found = compare([old(0, summary=f"A story of {TOPICS[3]}."), old(1)], NEW, EMBEDDER)
    assert (found.unlike, found.good, found.exit_code) == ([NEW[0].key], [NEW[1].key], 1)
    assert not compare([old(0, summary=f"A story of {TOPICS[3]}.")], NEW, EMBEDDER, 1.0).unlike


def test_another_title_is_named_and_good() -> None:
    found = compare([old(0, title="A Book"), old(1, title="BOOK, 1")], NEW, EMBEDDER)
    assert (found.titles, len(found.good), found.exit_code) == ([NEW[0].key], 2, 0)


def test_processed_keys_alone_are_compared_by_being_there() -> None:
    keys = [LegacyResult("processed_books.pkl", one.key) for one in NEW]
    assert len(compare(keys, NEW, EMBEDDER).good) == 5
