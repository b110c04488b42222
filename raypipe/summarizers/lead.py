"""A summarizer without a model: the book's first words, for tests and benchmarks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from raypipe.core.stop import StopCheck, never_stopped
from raypipe.summarizers.protocol import LocalSummarizer, Summary
from raypipe.text import CleanText

_LONGEST_WORD = 30


@dataclass(frozen=True)
class LeadSummarizer(LocalSummarizer):
    """Takes the first words of the book, which costs nothing and says little.

    Args:
        words: How many.
    """

    words: int = 200

    def __post_init__(self) -> None:
        """Refuse an empty summary."""
        if self.words < 1:
            raise ValueError(f"words must be 1 or more, not {self.words}")

    @property
    def name(self) -> str:
        """Name the summarizer in documents and messages."""
        return "lead"

    @property
    def in_flight(self) -> int:
        """Return 0: it computes."""
        return 0

    def identity(self) -> Mapping[str, Any]:
        """Return what changes its summaries."""
        return {"model": "lead", "version": 1, "words": self.words}

    def check(self) -> None:
        """Do nothing: it needs nothing."""

    def summarize(self, book: CleanText, stop_check: StopCheck = never_stopped) -> Summary:
        """Return the book's first words and no keywords."""
        head = book.text[: self.words * _LONGEST_WORD]  # a long book is not split for its top
        return Summary(" ".join(head.split()[: self.words]), ())
