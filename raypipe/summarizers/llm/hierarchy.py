"""Summarize a book bottom-up: chunks -> merges -> final answer.

Each merge starts as soon as the summaries of its own parts are there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, Protocol

from raypipe.core.errors import BookError
from raypipe.summarizers.llm.answer_checker import UsableAnswer
from raypipe.summarizers.llm.chunks import (
    MIN_CHUNK_BYTES,
    Chunk,
    label_chunks,
    split_in_half,
    split_into_chunks,
)
from raypipe.summarizers.llm.merge_levels import plan_merges
from raypipe.summarizers.llm.questions import PartSummary, QuestionWriter, Task
from raypipe.summarizers.llm.task_runner import TaskRunner

Strategy = Literal["auto", "single", "hierarchical"]
OnParts = Callable[[list[PartSummary]], None]
"""Takes summaries of neighboring parts, in reading order."""

_RANGE = " – "  # noqa: RUF001 - from one chapter to another


class SpanSentences(Protocol):
    """Return sentences of a span of the book."""

    def __call__(self, start: int, end: int, max_words: int) -> str:
        """Return sentences with at most `max_words` words of the text from start to end."""


class _SubmitParts(Protocol):
    def __call__(self, parts: list[PartSummary], *, with_quotes: bool = True) -> None: ...


@dataclass(frozen=True, slots=True)
class HierarchyResult:
    """The result for one book.

    Args:
        answer: The answer about the book; None if it has to be replaced, see `degraded`.
        sections: `heading: summary` of each chunk, in reading order; empty for a single call.
        degraded: Why sentences of the book replace an answer; empty if they do not.
    """

    answer: UsableAnswer | None
    sections: tuple[str, ...]
    degraded: str


@dataclass
class SummaryHierarchy:
    """Summarize one book; used once.

    Args:
        questions: Writes the tasks and questions.
        runner: Runs the tasks.
        strategy: One call for the whole book if it fits (`single`), if it is no larger than a
            chunk (`auto`), or if it is a single chunk (`hierarchical`).
        quote: Returns the sentences that merges and the final answer get beside the summaries.
        fallback: Returns the sentences that replace an answer that cannot be used; None fails
            the book.
    """

    questions: QuestionWriter
    runner: TaskRunner
    strategy: Strategy
    quote: SpanSentences
    fallback: SpanSentences | None = None
    _answer: UsableAnswer | None = field(default=None, init=False)
    _degraded: str = field(default="", init=False)
    _sections: list[list[PartSummary]] = field(default_factory=list, init=False)

    def run(self) -> HierarchyResult:
        """Return the result for the book.

        With a fallback, an exception that ends the tasks gives a result without an answer,
        unless it is retryable: then a later run may get the model's answer.

        Raises:
            BookError, BookLeftError, SetupError: As `TaskRunner.run`; also `too_large`, `too_long`.
        """
        try:
            self.start()
            self.runner.run()
        except BookError as error:
            if self.fallback is None or error.retryable:
                raise
            self._answer, self._degraded = None, _describe(error)
        parts = [part for parts in self._sections for part in parts]
        sections = tuple(f"{part.heading}: {part.text}" for part in parts)
        return HierarchyResult(self._answer, sections, self._degraded)

    def start(self) -> None:
        """Submit the first tasks: all chunks, or the whole book."""
        if self._is_single_call():
            self._submit_single()
        else:
            self._submit_chunks(self._split_book())

    def _is_single_call(self) -> bool:
        if self.strategy == "hierarchical":
            return len(self._split_book()) == 1
        is_small = len(self.questions.book.text.encode()) <= self.questions.budget.chunk_bytes
        may_be_single = is_small or self.strategy == "single"
        return may_be_single and self.questions.fits(self.questions.single_task())

    def _split_book(self) -> tuple[Chunk, ...]:
        budget = self.questions.budget
        return split_into_chunks(
            self.questions.book, budget.chunk_bytes, budget.max_chunk_bytes, budget.max_chunks
        )

    def _submit_single(self) -> None:
        self.runner.submit(
            self.questions.single_task(),
            "the book",
            on_done=self._set_answer,
            on_too_long=self._continue_with_chunks,
            on_give_up=self._give_up,
        )

    def _continue_with_chunks(self) -> None:
        """Submit chunks after the model found the whole book too long."""
        chunks = self._split_book()
        self._submit_chunks(chunks if len(chunks) > 1 else _halve(chunks[0]))

    def _submit_chunks(self, chunks: Sequence[Chunk]) -> None:
        """Submit all chunks at once, each of them connected to its merge."""
        levels = plan_merges(len(chunks), self.questions.budget.max_merge_parts)
        top_size = len(levels[-1]) if levels else len(chunks)
        slots = collect_parts(top_size, self._submit_final)
        for level in reversed(levels):
            slots = [
                slot
                for size, on_parts in zip(level, slots, strict=True)
                for slot in collect_parts(size, partial(self._submit_merge, on_parts=on_parts))
            ]
        self._sections = [[] for _ in chunks]
        for index, (chunk, slot) in enumerate(zip(label_chunks(chunks), slots, strict=True)):
            self._submit_chunk(chunk, partial(self._add_section, index, slot))

    def _add_section(self, index: int, on_parts: OnParts, parts: list[PartSummary]) -> None:
        self._sections[index] = parts
        on_parts(parts)

    def _submit_chunk(self, chunk: Chunk, on_parts: OnParts) -> None:
        task = self.questions.chunk_task(chunk.text)

        def on_done(answer: UsableAnswer) -> None:
            on_parts([PartSummary(chunk.heading, answer.text, chunk.start, chunk.end)])

        self.runner.submit(
            task,
            f"the {len(chunk.text):,} characters from {chunk.start:,} on",
            on_done=on_done,
            on_too_long=lambda: self._submit_halves(chunk, on_parts),
            on_give_up=lambda error: on_done(
                self._replace_answer(error, task, chunk.start, chunk.end)
            ),
        )

    def _submit_halves(self, chunk: Chunk, on_parts: OnParts) -> None:
        for half, slot in zip(_halve(chunk), collect_parts(2, on_parts), strict=True):
            self._submit_chunk(half, slot)

    def _submit_merge(
        self, parts: list[PartSummary], on_parts: OnParts, *, with_quotes: bool = True
    ) -> None:
        if len(parts) == 1:
            on_parts(parts)
            return
        start, end = parts[0].start, parts[-1].end
        task = self.questions.merge_task(parts, self._quote(start, end) if with_quotes else "")

        def on_done(answer: UsableAnswer) -> None:
            on_parts([PartSummary(_join_headings(parts), answer.text, start, end)])

        submit_again = partial(self._submit_merge, on_parts=on_parts)
        self.runner.submit(
            task,
            f"a merge of {len(parts)} summaries",
            on_done=on_done,
            on_too_long=lambda: self._shorten(
                parts, submit_again, on_parts, with_quotes=with_quotes
            ),
            on_give_up=lambda error: on_done(self._replace_answer(error, task, start, end)),
        )

    def _submit_final(self, parts: list[PartSummary], *, with_quotes: bool = True) -> None:
        quotes = self._quote(parts[0].start, parts[-1].end) if with_quotes else ""
        self.runner.submit(
            self.questions.final_task(parts, quotes),
            "the book",
            on_done=self._set_answer,
            on_too_long=lambda: self._shorten(
                parts, self._submit_final, self._submit_final, with_quotes=with_quotes
            ),
            on_give_up=self._give_up,
        )

    def _shorten(
        self,
        parts: list[PartSummary],
        submit_again: _SubmitParts,
        on_parts: OnParts,
        *,
        with_quotes: bool,
    ) -> None:
        """Continue after a merge was too long: with two merges, or without quotes.

        Args:
            parts: The summaries of the merge.
            submit_again: Submits the same merge.
            on_parts: Takes the results of two merges.
            with_quotes: Whether the merge had quotes.
        """
        if len(parts) > 2:
            middle = len(parts) // 2
            halves = (parts[:middle], parts[middle:])
            for half, slot in zip(halves, collect_parts(2, on_parts), strict=True):
                self._submit_merge(half, slot)
        elif with_quotes:
            submit_again(parts, with_quotes=False)
        else:
            raise _too_long_error("two summaries")

    def _quote(self, start: int, end: int) -> str:
        return self.quote(start, end, self.questions.budget.extract_words)

    def _set_answer(self, answer: UsableAnswer) -> None:
        self._answer = answer

    def _replace_answer(self, error: BookError, task: Task, start: int, end: int) -> UsableAnswer:
        """Return sentences of the book in place of an answer about a part."""
        if self.fallback is None:
            raise error
        text = self.fallback(start, end, task.words)
        self._degraded = self._degraded or _describe(error)
        return UsableAnswer(text)

    def _give_up(self, error: BookError) -> None:
        """Leave the book without an answer."""
        if self.fallback is None:
            raise error
        self._degraded = _describe(error)


def collect_parts(count: int, on_parts: OnParts) -> list[OnParts]:
    """Return a callback for each of `count` slots; the last one called passes on all parts.

    Args:
        count: Number of slots, 1 or more.
        on_parts: Takes the parts of all slots, in the order of the slots.
    """
    filled: dict[int, list[PartSummary]] = {}

    def fill(slot: int, parts: list[PartSummary]) -> None:
        filled[slot] = parts
        if len(filled) == count:
            on_parts([part for slot in sorted(filled) for part in filled[slot]])

    return [partial(fill, slot) for slot in range(count)]


def _halve(chunk: Chunk) -> tuple[Chunk, Chunk]:
    halves = split_in_half(chunk) if len(chunk.text.encode()) > MIN_CHUNK_BYTES else None
    if halves is None:
        raise _too_long_error(f"a piece of {len(chunk.text.encode()):,} bytes")
    return halves


def _too_long_error(text_name: str) -> BookError:
    return BookError(
        "too_long",
        f"the model finds {text_name} too long; look at summarizer.context_tokens",
    )


def _describe(error: BookError) -> str:
    """Return the reason that the document stores in `degraded`: its wording must not change."""
    return f"{error.kind}: {error.message}"


def _join_headings(parts: Sequence[PartSummary]) -> str:
    first, last = parts[0].heading.split(_RANGE)[0], parts[-1].heading.split(_RANGE)[-1]
    return first if first == last else f"{first}{_RANGE}{last}"
