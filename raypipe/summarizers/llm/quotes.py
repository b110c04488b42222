"""Sentences of the book itself for the prompts that only see summaries.

Merging compounds invention; source sentences at merge time helped most against it (CAHM, ACL
Findings 2025, arXiv 2502.00977).
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from raypipe.embedders.protocol import Embedder
from raypipe.summarizers.extractive import greedy, is_prose
from raypipe.text import CleanText, count_words, sentences

COMPUTING = threading.Lock()
"""One book at a time, of the many that a worker waits for: the sentence splitter keeps memos for
all threads, and all of them together have one core."""

_SAMPLE_CHARS = 250_000
"""Looked at of a book, in even places: 0.2 s, whatever its length."""
_PIECE_CHARS = 2_000
_FEWEST_WORDS, _MOST_WORDS = 8, 60
_SLICES = 5


@dataclass(frozen=True)
class _Candidates:
    texts: list[str]
    starts: list[int]  # position in the book, about; ascending
    counts: NDArray[np.int64]  # words
    vectors: NDArray[np.float32]  # shape (sentences, dimension)


@dataclass(frozen=True)
class Quotes:
    """The typical sentences of any span of a book; found on first use, once a book.

    Args:
        book: The book.
        embedder: Gives the sentences' vectors.
    """

    book: CleanText
    embedder: Embedder

    def of(self, start: int, end: int, words: int) -> str:
        """Return sentences of a span of the book, one a line, in reading order.

        Args:
            start: Position of the span's first character.
            end: Position behind its last.
            words: Most words of all sentences together.
        """
        if words < 1:
            return ""
        every = self._candidates
        low, high = bisect_left(every.starts, start), bisect_left(every.starts, end)
        if low >= high:
            return ""
        slices = min(_SLICES, high - low)
        picked = greedy(every.vectors[low:high], every.counts[low:high], words, slices)
        return "\n".join(every.texts[low + at] for at in sorted(picked))

    @cached_property
    def _candidates(self) -> _Candidates:
        with COMPUTING:
            return self._found()

    def _found(self) -> _Candidates:
        found: dict[str, int] = {}
        for text, start in _located(self.book):
            found.setdefault(text, start)
        counts = np.array([count_words(text) for text in found], dtype=np.int64)
        good = [
            at
            for at, text in enumerate(found)
            if _FEWEST_WORDS <= counts[at] <= _MOST_WORDS and is_prose(text)
        ]
        texts, starts = list(found), list(found.values())
        chosen = [texts[at] for at in good]
        vectors = self.embedder.embed(chosen) if chosen else np.zeros((0, 1), dtype=np.float32)
        return _Candidates(chosen, [starts[at] for at in good], counts[good], vectors)


def _located(book: CleanText) -> Iterator[tuple[str, int]]:
    """Yield sentences of the sample with their positions in the book, which ascend."""
    pieces = list(_sample(book.text))
    joined = "\n\n".join(text for text, _ in pieces)
    begins = [0, *accumulate(len(text) + 2 for text, _ in pieces)]
    cursor = 0
    for sentence in sentences(joined, book.language):
        found = joined.find(sentence, cursor)
        cursor = found if found >= 0 else cursor
        piece = min(bisect_left(begins, cursor + 1) - 1, len(pieces) - 1)
        yield sentence, pieces[piece][1] + cursor - begins[piece]
        cursor += len(sentence) if found >= 0 else 0


def _sample(text: str) -> Iterator[tuple[str, int]]:
    """Yield every n-th paragraph, and its position; endless ones in pieces."""
    step = max(1, -(-len(text) // _SAMPLE_CHARS))
    number = at = 0
    for block in text.split("\n\n"):
        for start in range(0, len(block), _PIECE_CHARS):
            if number % step == 0:
                yield block[start : start + _PIECE_CHARS].replace("\n", " "), at + start
            number += 1
        at += len(block) + 2
