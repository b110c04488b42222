"""Sentences of a stretch of a book."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from raypipe.embedders.hash import HashEmbedder
from raypipe.embedders.protocol import InputType
from raypipe.summarizers.llm.quotes import Quotes
from raypipe.text import count_words
from tests.unit.summarizers.books import chaptered, make_book, sentence

BOOK = chaptered(*[300] * 12)


class Counting(HashEmbedder):
    embedded = 0

    def embed(self, texts: object, *, input_type: InputType = "document") -> NDArray[np.float32]:
        found = list(texts)  # type: ignore[call-overload]
        type(self).embedded += len(found)
        return super().embed(found, input_type=input_type)


def test_sentences_come_from_the_stretch_in_its_order() -> None:
    extracts = Quotes(BOOK, HashEmbedder(64))
    for chapter in BOOK.chapters:
        lines = extracts.of(chapter.start, chapter.end, 90).splitlines()
        places = [BOOK.text.index(line) for line in lines]
        assert places == sorted(places)
        assert all(chapter.start <= place < chapter.end for place in places)
        assert 60 < sum(map(count_words, lines)) <= 90


def test_a_long_book_is_looked_at_once_and_in_even_places() -> None:
    embedder = Counting(64)
    book = make_book("\n\n".join(sentence(number) for number in range(12_000)))
    extracts = Quotes(book, embedder)
    for start in range(0, len(book.text), 100_000):
        assert extracts.of(start, start + 100_000, 60)
    assert 2_000 < Counting.embedded < 4_500


def test_one_endless_paragraph() -> None:
    book = make_book(" ".join(sentence(number) for number in range(8_000)))
    extracts = Quotes(book, HashEmbedder(64))
    late = extracts.of(len(book.text) - 40_000, len(book.text), 60)
    assert late
    assert all(book.text.index(line) > len(book.text) - 45_000 for line in late.splitlines())


def test_nothing_to_quote() -> None:
    extracts = Quotes(make_book("1 2 3\n\n4 5 6"), HashEmbedder(64))
    assert extracts.of(0, 12, 50) == ""
    assert Quotes(BOOK, HashEmbedder(64)).of(0, len(BOOK.text), 0) == ""
