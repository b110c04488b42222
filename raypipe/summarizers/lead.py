"""Summarize a book by its first words, without a model: for tests and benchmarks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from raypipe.core.stop import StopCheck, never_stopped
from raypipe.summarizers.protocol import LocalSummarizer, Summary
from raypipe.text import CleanText

_MAX_WORD_CHARS = 30


@dataclass(frozen=True)
class LeadSummarizer(LocalSummarizer):
    """Return the first words of a book: costs nothing, and tells little about the book.

    Args:
        words: Number of words.

    Raises:
        ValueError: `words` is less than 1.
    """

    words: int = 200

    def __post_init__(self) -> None:
        """Check the settings."""
        if self.words < 1:
            raise ValueError(f"words must be 1 or more, not {self.words}")

    @property
    def name(self) -> str:
        """Name of the summarizer in documents and messages."""
        return "lead"

    @property
    def in_flight(self) -> int:
        """Return 0: it runs on the CPU, one book after another."""
        return 0

    def identity(self) -> Mapping[str, Any]:
        """Return everything that changes summaries."""
        return {"model": "lead", "version": 1, "words": self.words}

    def check(self) -> None:
        """Do nothing: there is nothing that could be missing."""

    def summarize(self, book: CleanText, stop_check: StopCheck = never_stopped) -> Summary:
        """Return the book's first words and no keywords."""
        head = book.text[: self.words * _MAX_WORD_CHARS]  # no need to split a whole long book
        return Summary(" ".join(head.split()[: self.words]), ())
