"""How a book becomes a summary: a `Summarizer` turns clean text into a `Summary`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from raypipe.text import CleanText


@dataclass(frozen=True, slots=True)
class Summary:
    """What a summarizer says of one book."""

    text: str
    keywords: tuple[str, ...]
    model_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    flags: tuple[str, ...] = ()


class Summarizer(Protocol):
    """Turns a book's clean text into a summary; made on the driver, used on workers."""

    @property
    def name(self) -> str:
        """Name the summarizer in documents and messages, e.g. `extractive`."""

    def identity(self) -> Mapping[str, Any]:
        """Return what changes its summaries: model, parameters, versions; never a region."""

    def check(self) -> None:
        """Raise `SetupError` if it could summarize no book (credentials, model)."""

    def summarize(self, book: CleanText) -> Summary:
        """Return the summary of one book.

        Raises:
            BookError: This book cannot be summarized.
        """
