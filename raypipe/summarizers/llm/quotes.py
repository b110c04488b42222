"""Quote typical sentences of the book in the prompts that otherwise only have summaries.

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
from raypipe.summarizers.sentence_selection import is_prose, select_sentences
from raypipe.text import CleanText, count_words, split_sentences

SENTENCE_LOCK = threading.Lock()
"""Held while a worker splits and embeds sentences, so that it does so for one book at a time. The
sentence splitter has caches that all threads share, and all threads together have one core."""

_SAMPLE_CHARS = 250_000
"""Sampled characters of a book, at even distances: 0.2 s, whatever the length of the book."""
_PIECE_CHARS = 2_000
_MAX_SAMPLE_CHARS = 1_000_000  # of a book whose every n-th paragraph is a long one
_FIND_CHARS = 50_000  # sentences that were joined differently are not found at all
_MIN_WORDS, _MAX_WORDS = 8, 60
_MAX_SLICES = 5


@dataclass(frozen=True)
class _Candidates:
    """The sentences of the sample that may be quoted.

    Attributes:
        texts: The sentences.
        starts: Their approximate positions in the book, ascending.
        word_counts: Their words, shape (sentences,).
        vectors: Their unit vectors, shape (sentences, dimension).
    """

    texts: list[str]
    starts: list[int]
    word_counts: NDArray[np.int64]
    vectors: NDArray[np.float32]


@dataclass(frozen=True)
class Quotes:
    """Select typical sentences of spans of a book; embeds the book's sentences on first use.

    Args:
        book: The book.
        embedder: Embeds the sentences.
    """

    book: CleanText
    embedder: Embedder

    def select(self, start: int, end: int, max_words: int) -> str:
        """Return sentences of a span of the book, one per line, in reading order.

        Args:
            start: Position of the span's first character.
            end: Position after its last character.
            max_words: Maximum words of all sentences together.
        """
        if max_words < 1:
            return ""
        candidates = self._candidates
        low, high = bisect_left(candidates.starts, start), bisect_left(candidates.starts, end)
        if low >= high:
            return ""
        slices = min(_MAX_SLICES, high - low)
        selected = select_sentences(
            candidates.vectors[low:high], candidates.word_counts[low:high], max_words, slices
        )
        return "\n".join(candidates.texts[low + position] for position in sorted(selected))

    @cached_property
    def _candidates(self) -> _Candidates:
        with SENTENCE_LOCK:
            return self._find_candidates()

    def _find_candidates(self) -> _Candidates:
        start_of: dict[str, int] = {}
        for text, start in _locate_sentences(self.book):
            start_of.setdefault(text, start)
        word_counts = np.array([count_words(text) for text in start_of], dtype=np.int64)
        good = [
            position
            for position, text in enumerate(start_of)
            if _MIN_WORDS <= word_counts[position] <= _MAX_WORDS and is_prose(text)
        ]
        texts, starts = list(start_of), list(start_of.values())
        chosen = [texts[position] for position in good]
        vectors = self.embedder.embed(chosen) if chosen else np.zeros((0, 1), dtype=np.float32)
        return _Candidates(
            chosen, [starts[position] for position in good], word_counts[good], vectors
        )


def _locate_sentences(book: CleanText) -> Iterator[tuple[str, int]]:
    """Yield the sentences of the sample with their positions in the book, which ascend."""
    pieces = list(_sample(book.text))
    joined = "\n\n".join(text for text, _ in pieces)
    piece_starts = [0, *accumulate(len(text) + 2 for text, _ in pieces)]
    cursor = 0
    for sentence in split_sentences(joined, book.language, book.origin.deadline_s):
        found_at = joined.find(sentence, cursor, cursor + _FIND_CHARS)
        cursor = found_at if found_at >= 0 else cursor
        piece = min(bisect_left(piece_starts, cursor + 1) - 1, len(pieces) - 1)
        yield sentence, pieces[piece][1] + cursor - piece_starts[piece]
        cursor += len(sentence) if found_at >= 0 else 0


def _sample(text: str) -> Iterator[tuple[str, int]]:
    """Yield every n-th paragraph and its position; very long paragraphs in pieces."""
    step = max(1, -(-len(text) // _SAMPLE_CHARS))
    number = block_start = sampled = 0
    for block in text.split("\n\n"):
        for start in range(0, len(block), _PIECE_CHARS):
            if number % step == 0:
                piece = block[start : start + _PIECE_CHARS]
                sampled += len(piece)
                if sampled > _MAX_SAMPLE_CHARS:
                    return
                yield piece.replace("\n", " "), block_start + start
            number += 1
        block_start += len(block) + 2
