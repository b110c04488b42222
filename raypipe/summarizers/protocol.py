"""How a book becomes a summary: a `Summarizer` turns clean text into a `Summary`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from raypipe.models.protocol import Stopped, never_stopped
from raypipe.text import CleanText


@dataclass(frozen=True, slots=True)
class Summary:
    """What a summarizer says of one book.

    Args:
        text: The summary, never empty.
        keywords: Telling words, best first.
        model_calls: Model calls that were made, and may be on the bill.
        input_tokens: Tokens of those calls, as the server counted them.
        output_tokens: The same, of the answers.
        flags: What a person may want to look at, e.g. `trimmed`.
        title: A better title than the cleaner found; empty = keep the cleaner's.
        author: The same of the author.
        genre: What kind of book it is, in a few words.
        setting: Where it is set.
        period: When it is set.
        plot: What happens, or what is argued.
        themes: What it is about.
        characters: `Name: who they are`; one string each, since that is how people search.
        sections: `heading: summary` of each part of the book, in reading order.
        degraded: Why something simpler stands in for the model's answer; empty = it does not.
        cached_calls: Model calls that an earlier run had paid for.
    """

    text: str
    keywords: tuple[str, ...]
    model_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    flags: tuple[str, ...] = ()
    title: str = ""
    author: str = ""
    genre: str = ""
    setting: str = ""
    period: str = ""
    plot: str = ""
    themes: tuple[str, ...] = ()
    characters: tuple[str, ...] = ()
    sections: tuple[str, ...] = ()
    degraded: str = ""
    cached_calls: int = 0


class Summarizer(Protocol):
    """Turns a book's clean text into a summary; made on the driver, used on workers."""

    @property
    def name(self) -> str:
        """Name the summarizer in documents and messages, e.g. `extractive`."""

    @property
    def in_flight(self) -> int:
        """Books that one worker should work on at once; 0 = it computes: one after another."""

    def identity(self) -> Mapping[str, Any]:
        """Return what changes its summaries: model, parameters, versions; never a region."""

    def check(self) -> None:
        """Raise `SetupError` if it could summarize no book (credentials, model)."""

    def summarize(self, book: CleanText, stopped: Stopped = never_stopped) -> Summary:
        """Return the summary of one book; safe for `in_flight` threads.

        Args:
            book: The book.
            stopped: Asked before anything new is begun for this book.

        Raises:
            BookError: This book cannot be summarized.
            BookLeftError: A stop or the budget came first.
        """
