"""Long books are cleaned and split in a child process with the same result, up to a deadline."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from raypipe.core.child_process import ChildProcess
from raypipe.core.errors import BookError
from raypipe.embedders.hash import HashEmbedder
from raypipe.ledger.failure_log import KINDS
from raypipe.summarizers.extractive import ExtractiveSummarizer
from raypipe.text import TextCleaner, isolation, split_sentences
from raypipe.text.sentences import split_here

CHAPTER = (
    "CHAPTER {number}\n\n" + "The keeper “lit” the lamp – and looked at the sea. " * 80 + "\n\n"
)
BOOK = "Title: The Lamp\nAuthor: Ada Keeper\n\n" + "".join(
    CHAPTER.format(number=number) for number in range(1, 61)
)


@pytest.fixture(name="child", autouse=True)
def _child(monkeypatch: pytest.MonkeyPatch) -> Iterator[ChildProcess]:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[3]))
    child = ChildProcess("tests.unit.text.hanging_tasks")
    monkeypatch.setattr(isolation, "_child", child)
    yield child
    child.close()


def test_a_long_book_is_the_same_from_the_child(child: ChildProcess) -> None:
    data = BOOK.encode("cp1252")
    book = TextCleaner().clean(data, "a/lamp\udce9.txt")
    assert child.pid is not None
    assert book == TextCleaner().clean_here(data, "a/lamp\udce9.txt")
    assert (book.title, book.encoding, len(book.chapters)) == ("The Lamp", "cp1252", 60)
    assert split_sentences(book.text, "en") == split_here(book.text, "en")


def test_a_short_book_needs_no_child(child: ChildProcess) -> None:
    book = TextCleaner().clean(BOOK[:150_000].encode(), "x")
    split_sentences(book.text, "en")
    assert child.pid is None


def test_failures_come_back_from_the_child() -> None:
    with pytest.raises(BookError, match=r"52926 words, fewer than min_words=1000000") as failure:
        TextCleaner(min_words=1_000_000).clean(BOOK.encode(), "x")
    assert (failure.value.kind, failure.value.retryable) == ("too_short", False)


def test_a_book_that_takes_too_long_fails_with_a_way_out(child: ChildProcess) -> None:
    cleaner = TextCleaner(deadline_s=0.5)
    cleaner.clean(BOOK.encode(), "x")
    with pytest.raises(BookError, match=r"longer than text\.deadline_s=0\.5; raise") as failure:
        cleaner.clean(f"{BOOK} hang while cleaning".encode(), "x")
    assert (failure.value.kind, failure.value.retryable) == ("too_slow", True)
    assert failure.value.kind in KINDS
    assert cleaner.clean(BOOK.encode(), "x").title == "The Lamp"


def test_splitting_has_the_deadline_of_the_cleaner() -> None:
    book = TextCleaner(deadline_s=0.5).clean(f"{BOOK} hang while splitting".encode(), "x")
    with pytest.raises(BookError) as failure:
        ExtractiveSummarizer(HashEmbedder()).summarize(book)
    assert failure.value.kind == "too_slow"


def test_a_child_without_memory_fails_the_book(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation, "_child", ChildProcess("no.such.module"))
    with pytest.raises(BookError, match="did not start") as failure:
        TextCleaner().clean(BOOK.encode(), "x")
    assert (failure.value.kind, failure.value.retryable) == ("killed_worker", True)


def test_the_deadline_is_no_part_of_the_identity() -> None:
    assert TextCleaner(deadline_s=1).identity() == TextCleaner().identity()
    book = TextCleaner().clean(BOOK.encode(), "x")
    assert replace(TextCleaner(deadline_s=60)).clean(BOOK.encode(), "x").sha256 == book.sha256


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
def test_a_wrong_deadline_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="deadline_s must be more than 0"):
        TextCleaner(deadline_s=seconds)
