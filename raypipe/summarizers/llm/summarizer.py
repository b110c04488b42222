"""Summarize books with a chat model: chunks, merges, and one answer about the book."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any, Self, cast, get_args

from raypipe.core.per_process import PerProcess
from raypipe.core.setup_check import check_setup, check_together
from raypipe.core.stop import StopCheck, never_stopped
from raypipe.embedders.protocol import Embedder
from raypipe.models.adapter import ModelAdapter
from raypipe.models.calling.caller import ModelCaller
from raypipe.models.calling.model_calls import chat_call
from raypipe.models.calling.spending import Spending
from raypipe.models.context import ModelContext, PaidModel
from raypipe.models.protocol import Answer, ChatModel, Question
from raypipe.quota.protocol import CallRequest
from raypipe.state.store import State
from raypipe.summarizers.llm.answer_checker import StrictChecker
from raypipe.summarizers.llm.book_summary import (
    select_sentences,
    summarize_answer,
    summarize_extractively,
)
from raypipe.summarizers.llm.checks import CHECKS_VERSION, AnswerChecks
from raypipe.summarizers.llm.chunks import CHUNKS_VERSION
from raypipe.summarizers.llm.dry_run import PlannedCall, plan_calls
from raypipe.summarizers.llm.fields import SCHEMA
from raypipe.summarizers.llm.hierarchy import Strategy, SummaryHierarchy
from raypipe.summarizers.llm.merge_levels import MERGE_VERSION
from raypipe.summarizers.llm.model_check import adapt_budget, check_model
from raypipe.summarizers.llm.questions import QuestionWriter, Task, prompt_overhead_bytes
from raypipe.summarizers.llm.quotes import Quotes
from raypipe.summarizers.llm.task_runner import AskModel, TaskRunner
from raypipe.summarizers.llm.token_budget import TokenBudget
from raypipe.summarizers.prompts import Prompts
from raypipe.summarizers.protocol import CallEstimator, Summary
from raypipe.text import CleanText

FALLBACKS = ("none", "extractive")
_BUDGET_SETTINGS = tuple(
    setting.name
    for setting in dataclasses.fields(TokenBudget)
    if setting.name not in ("overhead_bytes", "thinking_room")
)


@dataclass(frozen=True)
class ModelSummarizer:
    """Summarize a book by a hierarchy of model calls, or by one call if the book is short.

    The book is cut into chunks along its chapters. Their summaries are merged, `fan_in` at a
    time, until one call can write the answer about the book from the remaining summaries. Merges
    and that answer also get typical sentences of the book. All chunks of a book are submitted at
    once; `context` limits how many calls are in flight.

    Title and author of the cleaner take precedence: they come from the file itself. The model's
    author is used if the cleaner found none. The model's title is used only if the cleaner had
    to derive one from a file name such as `pg1342`, and if the book has it literally.

    Args:
        model: Client of the chat model.
        prompts: The prompts.
        embedder: Embeds sentences to find the typical ones; offline and fast.
        model_id: Only for the config: the model's client takes its `model_id` from here.
        strategy: `auto`: one call for a book no longer than a chunk, else chunks and merges;
            `single`: one call for every book that fits into the window; `hierarchical`: always
            chunks and merges.
        context_tokens: The model's context window in tokens.
        chunk_tokens: Target size of a chunk in tokens; chapters are cut into even chunks.
        max_chunks: Maximum chunks of a book. A book with more gets larger chunks, up to the
            size that fits into the window; a larger book fails as `too_large`.
        fan_in: Maximum summaries per merge.
        words: Maximum words of the summary.
        chunk_words: Maximum words of the summary of a chunk.
        merge_words: Maximum words of the summary of several summaries.
        extract_words: Words of the book's own sentences beside the summaries; 0 for none.
        keywords: Number of keywords: the model's first, then the book's own.
        tokens_per_word: Tokens per word of an answer; determines the `max_tokens` of a call.
        bytes_per_token: UTF-8 bytes per token, for the size of chunks and for costs.
        limit_bytes_per_token: The same as a cautious estimate, to fit calls into the window.
        fallback: If the model gives no usable answer, `extractive` uses sentences of the book
            and states so in `Summary.degraded`; `none` fails the book.
        in_flight: Books that a worker summarizes concurrently.
        context: Answer cache and quota of the run, see `with_context`; None for neither.

    Raises:
        ValueError: A setting is out of range.
    """

    model: ChatModel
    prompts: Prompts
    embedder: Embedder
    model_id: str = ""
    strategy: str = "auto"
    context_tokens: int = 128_000
    chunk_tokens: int = 8_000
    max_chunks: int = 500
    fan_in: int = 12
    words: int = 300
    chunk_words: int = 220
    merge_words: int = 320
    extract_words: int = 150
    keywords: int = 100
    tokens_per_word: float = 1.6
    bytes_per_token: float = 3.6
    limit_bytes_per_token: float = 3.0
    fallback: str = "none"
    in_flight: int = 16
    context: ModelContext | None = field(default=None, repr=False, compare=False)
    _caller: PerProcess[ModelCaller] = field(
        default_factory=PerProcess, init=False, repr=False, compare=False
    )
    _adapter: PerProcess[ModelAdapter] = field(
        default_factory=PerProcess, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        """Check the settings."""
        for name, choices in (("strategy", get_args(Strategy)), ("fallback", FALLBACKS)):
            if getattr(self, name) not in choices:
                value = getattr(self, name)
                raise ValueError(f"{name}={value}: choose one of {', '.join(choices)}")
        if self.keywords < 0:
            raise ValueError(f"keywords={self.keywords} must be 0 or more")
        if self.in_flight < 1:
            raise ValueError(f"in_flight={self.in_flight} must be at least 1")
        _ = self._full_budget  # checks its settings

    @property
    def budget(self) -> TokenBudget:
        """Sizes of requests and answers on every level, within the limits of the model.

        Raises:
            SetupError: The limits of the model are too small.
        """
        return adapt_budget(self._full_budget, self._model_adapter.adaptation, self.name)

    @property
    def _full_budget(self) -> TokenBudget:
        settings = {name: getattr(self, name) for name in _BUDGET_SETTINGS}
        return TokenBudget(**settings, overhead_bytes=prompt_overhead_bytes(self.prompts))

    @property
    def name(self) -> str:
        """Name of the summarizer in documents and messages."""
        return self.model.name

    @property
    def paid_model(self) -> PaidModel:
        """The chat model: each of its calls costs money."""
        return self.model

    @property
    def call_estimator(self) -> CallEstimator:
        """The summarizer itself: it plans the calls of a book without making them."""
        return self

    def with_context(self, context: ModelContext) -> Self:
        """Return a copy that uses the answer cache and quota of a run."""
        return replace(self, context=context)

    def identity(self) -> Mapping[str, Any]:
        """Return everything that changes summaries.

        `fallback` is left out: it decides about failures only.
        """
        return {
            "model": dict(self.model.identity()),
            "versions": [CHUNKS_VERSION, MERGE_VERSION, CHECKS_VERSION],
            "prompts": dict(self.prompts.identity()),
            "schema": SCHEMA,
            "embedder": dict(self.embedder.identity()),
            "strategy": self.strategy,
            "keywords": self.keywords,
            **{name: getattr(self, name) for name in _BUDGET_SETTINGS},
        }

    def check_setup(self) -> None:
        """Check what embedder and model need on this machine; see `raypipe.core.setup_check`."""
        check_setup(self.embedder)
        check_setup(self.model)

    def check(self) -> None:
        """Check embedder and model; adapt to what the model's server needs.

        The check makes the call for a book as long as a chunk, once for each state and settings.

        Raises:
            SetupError: No call could succeed.
        """
        check_together(self._check_model, self.embedder.check)

    def _check_model(self) -> None:
        check_model(self.model, self.prompts, self._full_budget, self._model_adapter, self._state)

    def plan_calls(self, book: CleanText) -> list[PlannedCall]:
        """Return the calls that a book will take; no model is asked.

        Raises:
            BookError: The book would fail.
        """
        thinking_tokens = self._model_adapter.adaptation.thinking_tokens
        return plan_calls(self._questions(book), self._strategy, thinking_tokens)

    def typical_call(self) -> CallRequest:
        """Return the maximum tokens of the call for a chunk; most calls are for chunks."""
        budget = self.budget
        prompt_bytes = budget.chunk_bytes + budget.overhead_bytes
        return CallRequest(
            budget.estimate_tokens(prompt_bytes),
            budget.max_answer_tokens(budget.chunk_words) + budget.thinking_room,
        )

    def count_tokens(self, text: str) -> int | None:
        """Return a text's tokens as the server counts them, free of charge; None if unknown."""
        return self.model.count_tokens(Question("", text, max_tokens=16))

    def summarize(self, book: CleanText, stop_check: StopCheck = never_stopped) -> Summary:
        """Return the summary of one book; safe for many threads.

        Raises:
            BookError: `filtered`, `refused`, `cut`, `bad_answer`, `too_large`, `too_long`, or a
                kind that the caller of models gives to the model's errors.
            BookLeftError: The run stops or the budget is used up; the book is left for another run.
            SetupError: No call to the model can succeed.
        """
        questions = self._questions(book)
        quotes = Quotes(book, self.embedder)
        spending = Spending(self.model, self.context, book.origin.key or book.title)
        runner = TaskRunner(
            questions,
            self._ask(book, stop_check, spending),
            StrictChecker(AnswerChecks(book.language, self.prompts.instructions())),
            self.name,
            stop_check,
            has_more_room=self._model_adapter.has_more_room,
        )
        result = SummaryHierarchy(
            questions,
            runner,
            self._strategy,
            quote=quotes.select,
            fallback=None if self.fallback == "none" else select_sentences(book, quotes),
        ).run()
        summary = (
            summarize_answer(book, result.answer, self.keywords)
            if result.answer
            else summarize_extractively(book, self.embedder, self.words, self.keywords)
        )
        return replace(
            summary,
            sections=result.sections,
            degraded=result.degraded,
            flags=(*runner.flags, *(["degraded"] if result.degraded else [])),
            model_calls=spending.calls,
            cached_calls=spending.cached_calls,
            input_tokens=spending.tokens.input_tokens,
            output_tokens=spending.tokens.output_tokens,
            usd=spending.usd,
        )

    def _questions(self, book: CleanText) -> QuestionWriter:
        return QuestionWriter(self.prompts, self.budget, book)

    @property
    def _state(self) -> State | None:
        return None if self.context is None else self.context.state

    @property
    def _model_adapter(self) -> ModelAdapter:
        return self._adapter.get(lambda: ModelAdapter(self.model, self._state, self.context_tokens))

    @property
    def _strategy(self) -> Strategy:
        return cast(Strategy, self.strategy)

    def _ask(self, book: CleanText, stop_check: StopCheck, spending: Spending) -> AskModel:
        """Return the function that sends this book's questions and counts their cost."""
        caller = self._caller.get(
            lambda: ModelCaller(self.context or ModelContext(), self.model.pool)
        )
        adapter = self._model_adapter

        def ask(question: Question, task: Task, keep: Callable[[Answer], bool]) -> Future[Answer]:
            sent = adapter.apply(question)
            call = chat_call(self.model, question, keep, caller.token_estimate, sent=sent)
            call = replace(call, send=adapter.observing(call.send))
            call = spending.track(call, hash((question.system, question.prompt)))
            future = caller.submit(book.sha256, call, stop_check, name=book.title)
            future.add_done_callback(spending.count_answer)
            return future

        return ask
