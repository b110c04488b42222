"""How a book becomes a summary: a `Summarizer` turns clean text into a `Summary`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

from raypipe.core.stop import StopCheck, never_stopped
from raypipe.models.context import CallsNoModel, ModelContext, PaidModel
from raypipe.quota.protocol import CallRequest
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


class EstimatedCall(Protocol):
    """The tokens of one model call that a summarizer would make."""

    @property
    def input_tokens(self) -> int:
        """Return the tokens of the request."""

    @property
    def output_tokens(self) -> int:
        """Return the tokens of the answer."""


class CallEstimator(Protocol):
    """Estimates the model calls of a book without making them."""

    @property
    def bytes_per_token(self) -> float:
        """Return the bytes of UTF-8 text per token that the estimates assume."""

    def typical_call(self) -> CallRequest:
        """Return the most tokens that a typical call takes, for checks against the quota."""

    def calls_of(self, book: CleanText) -> Sequence[EstimatedCall]:
        """Return the calls that a book takes.

        Raises:
            BookError: The book would fail.
        """

    def count_tokens(self, text: str) -> int | None:
        """Return the server's free token count of a text, or None if the server has no count."""


class Summarizer(Protocol):
    """Turns a book's clean text into a summary; made on the driver, used on workers."""

    @property
    def name(self) -> str:
        """Name the summarizer in documents and messages, e.g. `extractive`."""

    @property
    def in_flight(self) -> int:
        """Books that one worker should work on at once; 0 = it computes: one after another."""

    @property
    def paid_model(self) -> PaidModel | None:
        """Return the model whose calls cost money, or None if the summarizer runs locally."""

    @property
    def call_estimator(self) -> CallEstimator | None:
        """Return the estimator of its model calls, or None if there is nothing to estimate."""

    def with_context(self, context: ModelContext) -> Self:
        """Return the summarizer with the run's answer cache and quota.

        Called once per run, on the driver, before the summarizer is sent to the workers.
        """

    def identity(self) -> Mapping[str, Any]:
        """Return what changes its summaries: model, parameters, versions; never a region."""

    def check(self) -> None:
        """Raise `SetupError` if it could summarize no book (credentials, model)."""

    def summarize(self, book: CleanText, stop_check: StopCheck = never_stopped) -> Summary:
        """Return the summary of one book; safe for `in_flight` threads.

        Args:
            book: The book.
            stop_check: Returns the stop reason; asked before new work on this book.

        Raises:
            BookError: This book cannot be summarized.
            BookLeftError: A stop or the budget came first.
        """


class LocalSummarizer(CallsNoModel):
    """Base class of summarizers that run locally: no model, no quota, nothing to estimate."""

    @property
    def call_estimator(self) -> None:
        """Return None: there are no model calls."""
