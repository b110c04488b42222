"""Summarize a book by its own most typical sentences: no model calls, no download."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raypipe.core.setup_check import check_setup
from raypipe.core.stop import StopCheck, never_stopped
from raypipe.embedders.protocol import Embedder
from raypipe.summarizers.keywords import extract_keywords
from raypipe.summarizers.protocol import LocalSummarizer, Summary
from raypipe.summarizers.sentence_selection import is_prose, select_sentences
from raypipe.text import CleanText, count_words, split_sentences

_MAX_CANDIDATES = 20_000
"""Longer books are sampled evenly: 20 MB of vectors, whatever the length of the book."""


@dataclass(frozen=True)
class ExtractiveSummarizer(LocalSummarizer):
    """Select the sentences whose mean vector comes closest to the mean of the whole book.

    The selection is greedy, in slices of equal length from start to end, so that no part of the
    book is left out; the sum of vectors continues through all slices. Measured on 68 pieces of
    10,000 words of eight books with 544 held-out passages, R@10 by dense / BM25 / both:
    .665 / .632 / .691; with a separate sum for each slice .632 / .603 / .665; the first 280
    words .403 / .423 / .441.

    Args:
        embedder: Embeds the sentences.
        max_words: Maximum words of the summary.
        slices: Parts of the book with an equal share of the summary.
        keywords: Number of keywords.
        min_sentence_words: Shorter sentences are headings and exclamations, which tell little.
        max_sentence_words: Longer sentences leave no room for others.

    Raises:
        ValueError: A setting is out of range.
    """

    embedder: Embedder
    max_words: int = 280
    slices: int = 5
    keywords: int = 100
    min_sentence_words: int = 8
    max_sentence_words: int = 60

    def __post_init__(self) -> None:
        """Check the settings, which must leave room for a sentence."""
        if self.slices < 1:
            raise ValueError(f"slices must be 1 or more, not {self.slices}")
        if self.keywords < 0:
            raise ValueError(f"keywords must be 0 or more, not {self.keywords}")
        if not 1 <= self.min_sentence_words <= self.max_sentence_words <= self.max_words:
            raise ValueError(
                "1 <= min_sentence_words <= max_sentence_words <= max_words must hold, not "
                f"{self.min_sentence_words}, {self.max_sentence_words}, {self.max_words}"
            )

    @property
    def name(self) -> str:
        """Name of the summarizer in documents and messages."""
        return "extractive"

    @property
    def in_flight(self) -> int:
        """Return 0: it runs on the CPU, one book after another."""
        return 0

    def identity(self) -> Mapping[str, Any]:
        """Return everything that changes summaries."""
        return {
            "model": "extractive",
            "version": 1,
            "embedder": dict(self.embedder.identity()),
            "max_words": self.max_words,
            "slices": self.slices,
            "keywords": self.keywords,
            "min_sentence_words": self.min_sentence_words,
            "max_sentence_words": self.max_sentence_words,
        }

    def check_setup(self) -> None:
        """Check what the embedder needs on this machine; see `raypipe.core.setup_check`."""
        check_setup(self.embedder)

    def check(self) -> None:
        """Check the embedder; raise `SetupError` if it cannot embed."""
        self.embedder.check()

    def summarize(self, book: CleanText, stop_check: StopCheck = never_stopped) -> Summary:
        """Return a book's summary, in reading order; never empty for a book with words."""
        sentences = split_sentences(book.text, book.language, book.origin.deadline_s)
        word_counts = np.array([count_words(sentence) for sentence in sentences], dtype=np.int64)
        candidates = self._find_candidates(sentences, word_counts)
        if len(candidates) > _MAX_CANDIDATES:
            sample = np.linspace(0, len(candidates) - 1, _MAX_CANDIDATES).astype(np.int64)
            candidates = candidates[sample]
        selected: list[int] = []
        if len(candidates):
            vectors = self.embedder.embed([sentences[position] for position in candidates])
            positions = select_sentences(
                vectors, word_counts[candidates], self.max_words, self.slices
            )
            selected = sorted(candidates[positions].tolist())
        text = " ".join(sentences[position] for position in selected)
        return Summary(
            text or _first_words(book.text, self.max_words),
            extract_keywords(book.text, book.language, self.keywords),
        )

    def _find_candidates(
        self, sentences: list[str], word_counts: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Return the positions of the sentences to select from.

        These are whole sentences of a good length. If a book has too few of them (verse, tables,
        lists, endless sentences), all sentences of that length; else all that fit into the
        summary. Repeated sentences count once: refrains and running heads would match the mean
        best.
        """
        first_position = {
            sentence: position for position, sentence in reversed(list(enumerate(sentences)))
        }
        distinct = np.array(sorted(first_position.values()), dtype=np.int64)
        words = word_counts[distinct]
        fitting = distinct[(words > 0) & (words <= self.max_words)]
        good_length = distinct[
            (words >= self.min_sentence_words) & (words <= self.max_sentence_words)
        ]
        prose = good_length[
            np.array([is_prose(sentences[position]) for position in good_length], dtype=bool)
        ]
        enough_words = min(self.max_words, int(word_counts.sum()) // 2)
        for positions in (prose, good_length):
            if word_counts[positions].sum() >= enough_words:
                return positions
        return fitting


def _first_words(text: str, limit: int) -> str:
    """Return the beginning of a text that has no sentence short enough."""
    return " ".join(text[: 100 * limit].split()[:limit])
