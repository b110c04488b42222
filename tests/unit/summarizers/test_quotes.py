"""Quotes are typical sentences of a span of a book."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from raypipe.embedders.hash import HashEmbedder
from raypipe.embedders.protocol import InputType
from raypipe.summarizers.llm.quotes import Quotes
from raypipe.text import count_words
from tests.unit.summarizers.books import book_with_chapters, make_book, sentence

BOOK = book_with_chapters(*[300] * 12)


class CountingEmbedder(HashEmbedder):
    embedded = 0

    def embed(self, texts: object, *, input_type: InputType = "document") -> NDArray[np.float32]:
        sentences = list(texts)  # type: ignore[call-overload]
        type(self).embedded += len(sentences)
        return super().embed(sentences, input_type=input_type)


def test_quotes_come_from_the_span_in_reading_order() -> None:
    quotes = Quotes(BOOK, HashEmbedder(64))
    for chapter in BOOK.chapters:
        lines = quotes.select(chapter.start, chapter.end, 90).splitlines()
        places = [BOOK.text.index(line) for line in lines]
        assert places == sorted(places)
        assert all(chapter.start <= place < chapter.end for place in places)
        assert 60 < sum(map(count_words, lines)) <= 90


def test_a_long_book_is_sampled_once_and_evenly() -> None:
    embedder = CountingEmbedder(64)
    book = make_book("\n\n".join(sentence(number) for number in range(12_000)))
    quotes = Quotes(book, embedder)
    for start in range(0, len(book.text), 100_000):
        assert quotes.select(start, start + 100_000, 60)
    assert 2_000 < CountingEmbedder.embedded < 4_500


def test_a_book_of_a_single_long_paragraph() -> None:
    book = make_book(" ".join(sentence(number) for number in range(8_000)))
    quotes = Quotes(book, HashEmbedder(64))
    late = quotes.select(len(book.text) - 40_000, len(book.text), 60)
    assert late
    assert all(book.text.index(line) > len(book.text) - 45_000 for line in late.splitlines())


def test_quotes_are_empty_without_prose_or_words() -> None:
    quotes = Quotes(make_book("1 2 3\n\n4 5 6"), HashEmbedder(64))
    assert quotes.select(0, 12, 50) == ""
    assert Quotes(BOOK, HashEmbedder(64)).select(0, len(BOOK.text), 0) == ""
