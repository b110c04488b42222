"""Chunks add up to the book, respect budget and chapters, and are deterministic."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raypipe.core.errors import BookError
from raypipe.summarizers.llm.chunks import Chunk, split_in_half, split_into_chunks
from raypipe.text import Chapter, CleanText
from tests.unit.summarizers.books import book_with_chapters, make_book, sentence

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
    chapters, start = [], 0
    for number, chapter in enumerate(texts):
        chapters.append(Chapter(f"C{number}", start, start + len(chapter)))
        start += len(chapter)
    return make_book(text, chapters=tuple(chapters))


def sizes(chunks: tuple[Chunk, ...]) -> list[int]:
    return [len(chunk.text.encode()) for chunk in chunks]


@settings(max_examples=300)
@given(books(), st.integers(200, 2_000), st.integers(200, 1_500))
def test_chunks_add_up_to_the_book_within_the_budget(
    book: CleanText, target: int, max_bytes: int
) -> None:
    chunks = split_into_chunks(book, target, max_bytes, 10_000)
    assert "".join(chunk.text for chunk in chunks) == book.text
    assert all(0 < size <= max_bytes for size in sizes(chunks))
    assert all(size <= max(1.25 * target, target + 4) for size in sizes(chunks))
    assert [chunk.start for chunk in chunks] == [0, *(chunk.end for chunk in chunks)][:-1]
    assert split_into_chunks(book, target, max_bytes, 10_000) == chunks


@settings(max_examples=200)
@given(books(), st.integers(250, 1_000))
def test_halves_add_up_to_the_chunk(book: CleanText, target: int) -> None:
    for chunk in split_into_chunks(book, target, 4 * target, 10_000):
        halves = split_in_half(chunk)
        if halves:
            first, second = halves
            assert first.text + second.text == chunk.text
            assert (first.start, second.start) == (chunk.start, first.end)
            assert (second.end, first.heading) == (chunk.end, chunk.heading)
        if len(chunk.text) > 100:
            assert halves
            assert max(sizes(halves)) < 0.7 * sum(sizes(halves))


def test_no_chunk_crosses_the_end_of_a_long_chapter() -> None:
    book = book_with_chapters(100, 130, 90, 300)
    chunks = split_into_chunks(book, 4_000, 10**6, 10_000)
    starts = {chunk.start for chunk in chunks}
    assert {chapter.start for chapter in book.chapters} <= starts
    assert chunks[0].heading == "CHAPTER 1"
    assert chunks[-1].heading == "CHAPTER 4"


def test_small_chapters_share_a_chunk_and_its_heading() -> None:
    chunks = split_into_chunks(book_with_chapters(*[10] * 12), 4_000, 10**6, 10_000)
    assert [chunk.heading for chunk in chunks] == [
        "CHAPTER 1 – CHAPTER 5",
        "CHAPTER 6 – CHAPTER 10",
        "CHAPTER 11 – CHAPTER 12",
    ]
    assert all(chunk.text.startswith("CHAPTER ") for chunk in chunks)


def test_a_dedication_before_a_long_chapter_joins_its_chunk() -> None:
    chunks = split_into_chunks(book_with_chapters(1, 100, 1), 4_000, 10**6, 10_000)
    assert min(sizes(chunks)) > 2_000


def test_chunks_of_a_chapter_are_even_in_size() -> None:
    chunks = split_into_chunks(book_with_chapters(120), 4_000, 10**6, 10_000)
    assert len(chunks) == 3
    assert max(sizes(chunks)) - min(sizes(chunks)) < 1_000


def test_cuts_prefer_paragraphs_then_sentences_then_words() -> None:
    paragraphs = split_into_chunks(book_with_chapters(200), 3_000, 10**6, 100)
    assert all(chunk.text.endswith("\n\n") for chunk in paragraphs[:-1])
    one_paragraph = " ".join(sentence(number) for number in range(200))
    sentences = split_into_chunks(make_book(one_paragraph), 3_000, 9_999, 99)
    assert all(chunk.text.endswith(". ") for chunk in sentences[:-1])
    words = "word " * 3_000
    assert all(
        chunk.text.endswith(" ") for chunk in split_into_chunks(make_book(words), 3_000, 9_999, 99)
    )
    japanese = "灯台守は夜ごとに灯をともした。" * 300
    assert all(
        chunk.text[-1] == "。" for chunk in split_into_chunks(make_book(japanese), 3_000, 9_999, 99)
    )


def test_no_cut_after_a_title_such_as_mr() -> None:
    text = "So said old Mr. Ash to Mrs. J. R. Lee, who said nothing. " * 300
    chunks = split_into_chunks(make_book(text), 1_000, 9_999, 99)
    assert all(chunk.text.endswith("nothing. ") for chunk in chunks[:-1])


def test_chunks_grow_up_to_the_maximum_if_there_are_too_many() -> None:
    book = book_with_chapters(*[60] * 20)
    assert len(split_into_chunks(book, 1_000, 10**6, 500)) > 50
    grown = split_into_chunks(book, 1_000, 10**6, 50)
    assert 20 < len(grown) <= 50
    with pytest.raises(BookError, match="more than max_chunks=5") as caught:
        split_into_chunks(book, 1_000, 8_000, 5)
    assert (caught.value.kind, caught.value.retryable) == ("too_large", False)


def test_chunks_do_not_depend_on_title_and_author() -> None:
    book = book_with_chapters(50, 70)
    other = dataclasses.replace(book, title="Another", author="")
    assert split_into_chunks(book, 1_000, 9_999, 99) == split_into_chunks(other, 1_000, 9_999, 99)
