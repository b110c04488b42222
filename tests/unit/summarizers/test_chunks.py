"""Chunks are the book, keep to their budget and to the chapters, and are always the same."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raypipe.core.errors import BookError
from raypipe.summarizers.llm.chunks import Chunk, halves, split
from raypipe.text import Chapter, CleanText
from tests.unit.summarizers.books import chaptered, make_book, sentence

PIECES = st.sampled_from(
    ["\n\n", "A short one. ", "word ", "日本語。", "é", "x" * 90, "…\n", "\U0001f40b", "Mr. Ash "]
)


@st.composite
def books(draw: st.DrawFn) -> CleanText:
    parts = draw(st.lists(st.lists(PIECES, min_size=1, max_size=120), min_size=1, max_size=6))
    texts = ["".join(part) for part in parts]
    text = "".join(texts)
    if not draw(st.booleans()):
        return make_book(text)
    chapters, at = [], 0
    for number, one in enumerate(texts):
        chapters.append(Chapter(f"C{number}", at, at + len(one)))
        at += len(one)
    return make_book(text, chapters=tuple(chapters))


def sizes(chunks: tuple[Chunk, ...]) -> list[int]:
    return [len(chunk.text.encode()) for chunk in chunks]


@settings(max_examples=300, deadline=None)
@given(books(), st.integers(200, 2_000), st.integers(200, 1_500))
def test_chunks_are_the_book_within_the_budget(book: CleanText, target: int, most: int) -> None:
    chunks = split(book, target, most, 10_000)
    assert "".join(chunk.text for chunk in chunks) == book.text
    assert all(0 < size <= most for size in sizes(chunks))
    assert all(size <= max(1.25 * target, target + 4) for size in sizes(chunks))
    assert [chunk.start for chunk in chunks] == [0, *(chunk.end for chunk in chunks)][:-1]
    assert split(book, target, most, 10_000) == chunks


@settings(max_examples=200, deadline=None)
@given(books(), st.integers(250, 1_000))
def test_halves_are_the_chunk(book: CleanText, target: int) -> None:
    for chunk in split(book, target, 4 * target, 10_000):
        parts = halves(chunk)
        if parts:
            first, second = parts
            assert first.text + second.text == chunk.text
            assert (first.start, second.start) == (chunk.start, first.end)
            assert (second.end, first.heading) == (chunk.end, chunk.heading)
        if len(chunk.text) > 100:
            assert parts
            assert max(sizes(parts)) < 0.7 * sum(sizes(parts))


def test_no_chunk_reaches_across_a_long_chapters_end() -> None:
    book = chaptered(100, 130, 90, 300)
    chunks = split(book, 4_000, 10**6, 10_000)
    starts = {chunk.start for chunk in chunks}
    assert {chapter.start for chapter in book.chapters} <= starts
    assert chunks[0].heading == "CHAPTER 1"
    assert chunks[-1].heading == "CHAPTER 4"


def test_small_chapters_share_a_chunk_and_say_so() -> None:
    chunks = split(chaptered(*[10] * 12), 4_000, 10**6, 10_000)
    assert [chunk.heading for chunk in chunks] == [
        "CHAPTER 1 – CHAPTER 5",
        "CHAPTER 6 – CHAPTER 10",
        "CHAPTER 11 – CHAPTER 12",
    ]
    assert all(chunk.text.startswith("CHAPTER ") for chunk in chunks)


def test_a_dedication_before_a_long_chapter_is_no_chunk_of_its_own() -> None:
    chunks = split(chaptered(1, 100, 1), 4_000, 10**6, 10_000)
    assert min(sizes(chunks)) > 2_000


def test_no_tiny_tail() -> None:
    chunks = split(chaptered(120), 4_000, 10**6, 10_000)
    assert len(chunks) == 3
    assert max(sizes(chunks)) - min(sizes(chunks)) < 1_000


def test_cuts_are_between_paragraphs_then_sentences_then_words() -> None:
    paragraphs = split(chaptered(200), 3_000, 10**6, 100)
    assert all(chunk.text.endswith("\n\n") for chunk in paragraphs[:-1])
    unparted = " ".join(sentence(number) for number in range(200))
    assert all(c.text.endswith(". ") for c in split(make_book(unparted), 3_000, 9_999, 99)[:-1])
    words = "word " * 3_000
    assert all(chunk.text.endswith(" ") for chunk in split(make_book(words), 3_000, 9_999, 99))
    japanese = "灯台守は夜ごとに灯をともした。" * 300
    assert all(chunk.text[-1] == "。" for chunk in split(make_book(japanese), 3_000, 9_999, 99))


def test_a_mister_ends_no_sentence() -> None:
    text = "So said old Mr. Ash to Mrs. J. R. Lee, who said nothing. " * 300
    chunks = split(make_book(text), 1_000, 9_999, 99)
    assert all(chunk.text.endswith("nothing. ") for chunk in chunks[:-1])


def test_too_many_chunks_grow_as_far_as_they_may() -> None:
    book = chaptered(*[60] * 20)
    assert len(split(book, 1_000, 10**6, 500)) > 50
    grown = split(book, 1_000, 10**6, 50)
    assert 20 < len(grown) <= 50
    with pytest.raises(BookError, match="more than max_chunks=5") as caught:
        split(book, 1_000, 8_000, 5)
    assert (caught.value.kind, caught.value.retryable) == ("too_large", False)


def test_the_same_text_under_another_name_gives_the_same_chunks() -> None:
    book = chaptered(50, 70)
    other = dataclasses.replace(book, title="Another", author="")
    assert split(book, 1_000, 9_999, 99) == split(other, 1_000, 9_999, 99)
