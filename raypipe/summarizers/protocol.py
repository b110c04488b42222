"""The contract of summarizers: a `Summarizer` turns the clean text of a book into a `Summary`."""

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
    """The summary of one book.

    Args:
        text: The summary, never empty.
        keywords: Keywords, best first.
        model_calls: Model calls that were paid for this book, by this run or an earlier one.
        input_tokens: Input tokens of those calls, as counted by the server.
        output_tokens: Output tokens of those calls, as counted by the server.
        flags: Properties worth a look, e.g. `trimmed`.
        title: A better title than the cleaner's; empty keeps the cleaner's.
        author: A better author than the cleaner's; empty keeps the cleaner's.
        genre: The kind of book, in a few words.
        setting: Where the book is set.
        period: When the book is set.
        plot: The plot, or the argument of a book without a plot.
        themes: The subjects of the book.
        characters: `Name: who they are`, each a single string, since users search that way.
        sections: `heading: summary` of each part of the book, in reading order.
        degraded: Why a simpler summary replaces the model's answer; empty if none does.
        cached_calls: Answers of models that came from the cache.
        usd: Dollars of `model_calls`.
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
    usd: float = 0.0


class EstimatedCall(Protocol):
    """The tokens of a model call that a summarizer would make."""

    @property
    def input_tokens(self) -> int:
        """Estimated tokens of the request."""

    @property
    def output_tokens(self) -> int:
        """Estimated tokens of the answer."""


class CallEstimator(Protocol):
    """Estimate the model calls of a book without making them."""

    @property
    def bytes_per_token(self) -> float:
        """UTF-8 bytes of text per token, as assumed by the estimates."""

    def typical_call(self) -> CallRequest:
        """Return the maximum tokens of a typical call, for checks against the quota."""

    def plan_calls(self, book: CleanText) -> Sequence[EstimatedCall]:
        """Return the calls that a book takes.

        Raises:
            BookError: The book would fail.
        """

    def count_tokens(self, text: str) -> int | None:
        """Return the server's token count of a text, free of charge; None if it has none."""


class Summarizer(Protocol):
    """Turn a book's clean text into a summary; created on the driver, used on workers."""

    @property
    def name(self) -> str:
        """Name of the summarizer in documents and messages, e.g. `extractive`."""

    @property
    def in_flight(self) -> int:
        """Books that a worker summarizes concurrently; 0 for one after another (CPU-bound)."""

    @property
    def paid_model(self) -> PaidModel | None:
        """The model whose calls cost money; None if the summarizer runs locally."""

    @property
    def call_estimator(self) -> CallEstimator | None:
        """The estimator of its model calls; None if there is nothing to estimate."""

    def with_context(self, context: ModelContext) -> Self:
        """Return the summarizer with the answer cache and quota of a run.

        Called on the driver: for the checks of a run, without quotas, and before the summarizer is
        sent to the workers.
        """

    def identity(self) -> Mapping[str, Any]:
        """Return everything that changes summaries: model, parameters, versions; never a region."""

    def check(self) -> None:
        """Check credentials and model; raise `SetupError` if no book could be summarized."""

    def summarize(self, book: CleanText, stop_check: StopCheck = never_stopped) -> Summary:
        """Return the summary of one book; safe for `in_flight` threads.

        Args:
            book: The book.
            stop_check: Returns the stop reason, or '' to continue; asked before each new call.

        Raises:
            BookError: This book cannot be summarized.
            BookLeftError: The run stops or the budget is used up; the book is left for another run.
        """


class LocalSummarizer(CallsNoModel):
    """Base class of summarizers that run locally: no model, no quota, nothing to estimate."""

    @property
    def call_estimator(self) -> None:
        """None: there are no model calls."""
