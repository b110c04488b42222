"""A summarizer that asks a chat model: chunks, merges, and one answer about the book."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any, Self, cast, get_args

from raypipe.core.errors import BookError
from raypipe.core.stop import StopCheck, never_stopped
from raypipe.embedders.protocol import Embedder
from raypipe.models.calling.caller import ModelCaller
from raypipe.models.calling.model_calls import chat_call
from raypipe.models.context import ModelContext, PaidModel
from raypipe.models.protocol import Answer, ChatModel, Question
from raypipe.quota.protocol import CallRequest
from raypipe.summarizers.extractive import ExtractiveSummarizer
from raypipe.summarizers.keywords import keywords
from raypipe.summarizers.llm.checks import CHECKS_VERSION, AnswerChecks
from raypipe.summarizers.llm.chunks import CHUNKS_VERSION
from raypipe.summarizers.llm.dry_run import PlannedCall, plan_calls
from raypipe.summarizers.llm.fields import SCHEMA, Fields, better_names
from raypipe.summarizers.llm.hierarchy import Strategy, SummaryHierarchy
from raypipe.summarizers.llm.prompts import Prompts
from raypipe.summarizers.llm.questions import QuestionWriter, Task, overhead_bytes
from raypipe.summarizers.llm.quotes import COMPUTING, Quotes
from raypipe.summarizers.llm.task_runner import AskModel, StrictChecker, TaskRunner, UsableAnswer
from raypipe.summarizers.llm.token_budget import TokenBudget
from raypipe.summarizers.llm.tree import TREE_VERSION
from raypipe.summarizers.llm.usage import BookUsage
from raypipe.summarizers.protocol import CallEstimator, Summary
from raypipe.text import CleanText

FALLBACKS = ("none", "extractive")
_SIZES = tuple(one.name for one in dataclasses.fields(TokenBudget) if one.name != "overhead_bytes")
_LONGEST_SENTENCE = 60
_making = threading.Lock()


@dataclass(frozen=True)
class ModelSummarizer:
    """Summarizes a book by a tree of model calls, or by one call where the book is short.

    The book is cut into chunks along its chapters; their summaries are merged, `fan_in` at a
    time, until one call can write the answer about the book from what is left. Merges and that
    answer see typical sentences of the book beside the summaries. All chunks of a book are
    asked for at once; `context` says how many calls are really in flight.

    Title and author of the cleaner count: they come from the file itself. The model's author
    stands where the cleaner found none; its title only where the cleaner had to make one of a
    file name such as `pg1342`, and where the book has it literally.

    Args:
        model: Client of the chat model.
        prompts: What the model is told.
        embedder: Finds the typical sentences; offline and fast.
        model_id: For the config: where the model's client takes its `model_id` from.
        strategy: `auto`: one call for a book no longer than a chunk, else chunks and merges;
            `single`: one call for every book that fits into the window; `hierarchical`.
        context_tokens: The model's window.
        chunk_tokens: Tokens of a chunk; chapters are cut into even ones.
        max_chunks: Most chunks of a book; above it they grow, as far as the window goes, and
            what is larger still fails as `too_large`.
        fan_in: Most summaries that are merged at once.
        words: Words of the summary at most.
        chunk_words: Words of the summary of a chunk at most.
        merge_words: Words of the summary of several at most.
        extract_words: Words of the book's own sentences beside the summaries; 0 = none.
        keywords: How many keywords to give: the model's, then the book's most telling words.
        tokens_per_word: Tokens of a word of an answer; the most tokens of a call follow.
        bytes_per_token: Bytes of UTF-8 a token, for the size of chunks and for costs.
        limit_bytes_per_token: The same, cautiously, for what must fit into the window.
        fallback: Where the model has no usable answer: `extractive` takes sentences of the book
            and says so (`Summary.degraded`), `none` fails the book.
        in_flight: Books that one worker works on at once.
        context: The run's answer cache and quota, see `with_context`; None for neither.

    Raises:
        ValueError: A setting is out of its range.
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
    _caller: ModelCaller | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check the settings."""
        for name, choices in (("strategy", get_args(Strategy)), ("fallback", FALLBACKS)):
            if getattr(self, name) not in choices:
                chosen = getattr(self, name)
                raise ValueError(f"{name}={chosen}: choose one of {', '.join(choices)}")
        if self.keywords < 0:
            raise ValueError(f"keywords={self.keywords} must be 0 or more")
        if self.in_flight < 1:
            raise ValueError(f"in_flight={self.in_flight} must be at least 1")
        _ = self.sizes

    def __getstate__(self) -> dict[str, Any]:
        """Leave the caller behind: its threads belong to this process."""
        state = {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}
        return {**state, "_caller": None}

    @property
    def sizes(self) -> TokenBudget:
        """The budgets of every level."""
        given = {name: getattr(self, name) for name in _SIZES}
        return TokenBudget(**given, overhead_bytes=overhead_bytes(self.prompts))

    @property
    def name(self) -> str:
        """Name the summarizer in documents and messages."""
        return self.model.name

    @property
    def paid_model(self) -> PaidModel:
        """Return the chat model: each of its calls costs money."""
        return self.model

    @property
    def call_estimator(self) -> CallEstimator:
        """Return the summarizer itself: it plans the calls of a book without making them."""
        return self

    def with_context(self, context: ModelContext) -> Self:
        """Return a copy that uses the run's answer cache and quota."""
        return replace(self, context=context)

    def identity(self) -> Mapping[str, Any]:
        """Return what changes its summaries.

        `fallback` is left out: it decides what becomes of a failure.
        """
        return {
            "model": dict(self.model.identity()),
            "versions": [CHUNKS_VERSION, TREE_VERSION, CHECKS_VERSION],
            "prompts": dict(self.prompts.identity()),
            "schema": SCHEMA,
            "embedder": dict(self.embedder.identity()),
            "strategy": self.strategy,
            "keywords": self.keywords,
            **{name: getattr(self, name) for name in _SIZES},
        }

    def check(self) -> None:
        """Raise `SetupError` if no call to the model could succeed."""
        self.embedder.check()
        self.model.check()

    def calls_of(self, book: CleanText) -> list[PlannedCall]:
        """Return the calls that a book will take; no model is asked.

        Raises:
            BookError: The book would fail.
        """
        return plan_calls(self._questions(book), self._strategy)

    def typical_call(self) -> CallRequest:
        """Return the most tokens that the call for a chunk takes; most calls are for a chunk."""
        sizes = self.sizes
        size = sizes.chunk_bytes + overhead_bytes(self.prompts)
        return CallRequest(sizes.cost_tokens(size), sizes.answer_tokens(self.chunk_words))

    def count_tokens(self, text: str) -> int | None:
        """Return a text's tokens as the server counts them, for nothing; None = it cannot say."""
        return self.model.count_tokens(Question("", text, max_tokens=16))

    def summarize(self, book: CleanText, stop_check: StopCheck = never_stopped) -> Summary:
        """Return the summary of one book; safe for many threads.

        Raises:
            BookError: `filtered`, `refused`, `cut`, `bad_answer`, `too_large`, `too_long`, or
                what the caller of models made of the model's errors.
            BookLeftError: A stop or the budget came first.
            SetupError: No call to the model can succeed.
        """
        questions = self._questions(book)
        extracts = Quotes(book, self.embedder)
        tally = BookUsage()
        checks = AnswerChecks(book.language, self.prompts.instructions())
        asking = TaskRunner(
            questions,
            self._ask(book, stop_check, tally),
            StrictChecker(checks),
            self.name,
            stop_check,
        )
        climb = SummaryHierarchy(questions, asking, self._strategy, extracts.of)
        if self.fallback != "none":
            climb.stand_in = lambda *stretch: extracts.of(*stretch) or _first(book, *stretch)
        try:
            said = climb.run()
        except BookError as error:
            # What may pass is not replaced: a later run gets the model's answer.
            if self.fallback == "none" or error.retryable:
                raise
            said, climb.degraded = None, f"{error.kind}: {error.message}"
        return self._told(book, said, climb, tally)

    def _told(
        self, book: CleanText, said: UsableAnswer | None, climb: SummaryHierarchy, tally: BookUsage
    ) -> Summary:
        summary = self._with_fields(book, said) if said else self._extractive(book)
        return replace(
            summary,
            sections=climb.sections,
            degraded=climb.degraded,
            flags=(*climb.asking.flags, *(["degraded"] if climb.degraded else [])),
            model_calls=tally.paid,
            cached_calls=tally.answered - tally.paid,
            input_tokens=tally.usage.input_tokens,
            output_tokens=tally.usage.output_tokens,
        )

    def _with_fields(self, book: CleanText, said: UsableAnswer) -> Summary:
        fields = said.fields or Fields(said.text)
        own = keywords(book.text, book.language, self.keywords)
        words: dict[str, str] = {}
        for word in (*fields.keywords, *own):
            words.setdefault(word.casefold(), word)
        title, author = better_names(book, fields)
        return Summary(
            said.text,
            tuple(words.values())[: self.keywords],
            title=title,
            author=author,
            genre=fields.genre,
            setting=fields.setting,
            period=fields.period,
            plot=fields.plot,
            themes=fields.themes,
            characters=fields.characters,
        )

    def _extractive(self, book: CleanText) -> Summary:
        words = max(self.words, _LONGEST_SENTENCE)
        made = ExtractiveSummarizer(
            self.embedder, words, keywords=self.keywords, max_sentence_words=_LONGEST_SENTENCE
        )
        with COMPUTING:
            return made.summarize(book)

    def _questions(self, book: CleanText) -> QuestionWriter:
        return QuestionWriter(self.prompts, self.sizes, book)

    @property
    def _strategy(self) -> Strategy:
        return cast(Strategy, self.strategy)

    def _ask(self, book: CleanText, stop_check: StopCheck, tally: BookUsage) -> AskModel:
        caller = self._made_caller()

        def ask(question: Question, task: Task, keep: Callable[[Answer], bool]) -> Future[Answer]:
            call = chat_call(self.model, question, keep, caller.token_estimate)
            call = replace(call, send=tally.counted(call.send))
            future = caller.submit(book.sha256, call, stop_check, name=book.title)
            future.add_done_callback(tally.landed)
            return future

        return ask

    def _made_caller(self) -> ModelCaller:
        with _making:
            if self._caller is None:
                caller = ModelCaller(self.context or ModelContext(), self.model.pool)
                object.__setattr__(self, "_caller", caller)
            assert self._caller is not None
            return self._caller


def _first(book: CleanText, start: int, end: int, words: int) -> str:
    return " ".join(book.text[start:end].split()[:words])
