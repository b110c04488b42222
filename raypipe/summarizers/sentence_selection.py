"""Select sentences whose mean embedding comes closest to the mean of a whole text."""

# ruff: noqa: RUF001 - punctuation of other scripts is intended
from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

_PROSE = re.compile(r"[\"'“‘«„(\[—-]*[^\W_].*[.!?…。！？][\"'”’»“)\]]*$", re.S)
_MIN_LETTER_SHARE = 0.6


def is_prose(sentence: str) -> bool:
    """Return whether a sentence is whole prose and not a heading, table row or fragment."""
    if not _PROSE.match(sentence) or sentence.isupper():
        return False
    letters = sum(map(str.isalpha, sentence))
    first_letter = next((char for char in sentence if char.isalpha()), "")
    return not first_letter.islower() and letters > _MIN_LETTER_SHARE * len(sentence)


def select_sentences(
    vectors: NDArray[np.float32], word_counts: NDArray[np.int64], max_words: int, slices: int
) -> list[int]:
    """Return the positions of the selected sentences, selected slice by slice.

    Each step selects the sentence e that brings the sum s of all selected sentences closest to
    the mean m of all sentences: the highest (s·m + e·m) / |s + e|, with |e| = 1.

    Args:
        vectors: A unit vector for each sentence, shape (sentences, dimension).
        word_counts: Words of each sentence, shape (sentences,).
        max_words: Maximum words of all selected sentences together.
        slices: Number of slices of equal length; unused words of a slice go to the next.
    """
    mean = vectors.mean(axis=0)
    total = np.zeros_like(mean)
    selected: list[int] = []
    words_left = 0.0
    for positions in np.array_split(np.arange(len(vectors)), slices):
        words_left += max_words / slices
        is_free = np.ones(len(positions), dtype=bool)
        slice_vectors, closeness = vectors[positions], vectors[positions] @ mean
        while (is_usable := is_free & (word_counts[positions] <= words_left)).any():
            length = np.sqrt(total @ total + 2 * (slice_vectors @ total) + 1)
            score = (total @ mean + closeness) / np.maximum(length, 1e-6)
            best = int(np.where(is_usable, score, -np.inf).argmax())
            is_free[best] = False
            total = total + slice_vectors[best]
            words_left -= int(word_counts[positions[best]])
            selected.append(int(positions[best]))
    return selected
