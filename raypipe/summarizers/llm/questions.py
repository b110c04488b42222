"""Write the questions to the model: from a task about a book to system prompt and prompt."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from raypipe.models.protocol import Question
from raypipe.summarizers.llm.fields import SCHEMA
from raypipe.summarizers.llm.token_budget import TokenBudget
from raypipe.summarizers.prompts import CATALOG_TAG, Prompts, wrap_as_data
from raypipe.text import CleanText

Level = Literal["chunk", "merge", "final", "single"]

_SCHEMA_NAME = "book"
_MAX_NAME_CHARS = 200
_QUOTES_HEADING = "Sentences quoted from these parts:"
"""Part of prompts: changing it changes cache keys."""


@dataclass(frozen=True, slots=True)
class PartSummary:
    """The summary of a span of the book.

    Args:
        heading: Heading of the span.
        text: The summary.
        start: Position of the span's first character in the book.
        end: Position after its last character.
    """

    heading: str
    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Task:
    """A task for the model.

    Args:
        level: The prompt to use.
        text: The material: a piece of the book, or summaries.
        words: Maximum words of the answer; of its summary, if the answer is JSON.
        problem: The problem of the previous answer; empty for the first time.
        is_repair: Whether the material is an answer in prose that the model shall turn into JSON.
    """

    level: Level
    text: str
    words: int
    problem: str = ""
    is_repair: bool = False

    @property
    def is_structured(self) -> bool:
        """Whether the answer is JSON."""
        return self.level in ("final", "single")


@dataclass(frozen=True)
class QuestionWriter:
    """Write the questions about one book.

    The prompts of chunks and merges contain nothing about the book except their own text. So
    paid answers are found again when title, author or another prompt changes.

    Args:
        prompts: The prompts.
        budget: Sizes of requests and answers.
        book: The book.
    """

    prompts: Prompts
    budget: TokenBudget
    book: CleanText

    def chunk_task(self, text: str) -> Task:
        """Return the task to summarize a piece of the book."""
        return Task("chunk", text, self.budget.words_to_request(self.budget.chunk_words, text))

    def merge_task(self, parts: list[PartSummary], quotes: str) -> Task:
        """Return the task to write one summary of several.

        Args:
            parts: The summaries, in reading order.
            quotes: Sentences of the book; may be empty.
        """
        text = format_parts(parts, quotes)
        return Task("merge", text, self.budget.words_to_request(self.budget.merge_words, text))

    def final_task(self, parts: list[PartSummary], quotes: str) -> Task:
        """Return the task to write the answer about the book from summaries of its parts.

        Args:
            parts: The summaries, in reading order.
            quotes: Sentences of the book; may be empty.
        """
        # The words depend on the book and not on the summaries: a book with long summaries has
        # more than enough words for the maximum.
        return Task("final", format_parts(parts, quotes), self._answer_words())

    def single_task(self) -> Task:
        """Return the task to write the answer about the book from the book itself."""
        return Task("single", self.book.text, self._answer_words())

    def retry_task(self, task: Task, problem: str) -> Task:
        """Return the task to answer again, in fewer words, with the problem stated."""
        return replace(task, words=self.budget.words_to_retry(task.words), problem=problem)

    def repair_task(self, task: Task, answer: str) -> Task:
        """Return the task to turn an answer in prose into JSON."""
        return replace(task, text=answer, is_repair=True)

    def fits(self, task: Task) -> bool:
        """Return whether a task fits into the model's window, by an estimate of its tokens."""
        question = self.write(task)
        prompt_bytes = len(question.system.encode()) + len(question.prompt.encode())
        return self.budget.fits(prompt_bytes, question.max_tokens)

    def write(self, task: Task) -> Question:
        """Return the question for a task."""
        name = "repair" if task.is_repair else task.level
        words = {"words": str(task.words), "plot_words": str(self.budget.plot_words(task.words))}
        prompt = self.prompts.render(
            name, text=wrap_as_data(task.text), catalog=self._catalog_entry(), **words
        )
        if task.problem:
            prompt += "\n\n" + self.prompts.render("tighter", problem=task.problem, **words)
        system = self.prompts.system.strip()
        if not task.is_structured:
            return Question(system, prompt, self.budget.max_answer_tokens(task.words))
        max_tokens = self.budget.max_final_tokens(task.words)
        return Question(system, prompt, max_tokens, schema=SCHEMA, schema_name=_SCHEMA_NAME)

    def _answer_words(self) -> int:
        return self.budget.words_to_request(self.budget.words, self.book.text)

    def _catalog_entry(self) -> str:
        lines = [f"Title: {_to_line(self.book.title)}"]
        if self.book.author:
            lines.append(f"Author: {_to_line(self.book.author)}")
        return wrap_as_data("\n".join(lines), CATALOG_TAG)


def format_parts(parts: list[PartSummary], quotes: str) -> str:
    """Return summaries as one text, each under its heading, then the quoted sentences."""
    texts = [f"{part.heading}\n{part.text}" if part.heading else part.text for part in parts]
    return "\n\n".join([*texts, f"{_QUOTES_HEADING}\n{quotes}"] if quotes else texts)


def prompt_overhead_bytes(prompts: Prompts) -> int:
    """Return the maximum bytes of a prompt besides its text."""
    longest = max(
        len(prompts.render(name, text=wrap_as_data(""), words="0", plot_words="0").encode())
        for name in ("chunk", "merge", "final", "single", "repair")
    )
    system_and_retry = len(prompts.system.encode()) + len(prompts.tighter.encode())
    return longest + system_and_retry + 2 * _MAX_NAME_CHARS * 4 + 200


def _to_line(name: str) -> str:
    """Return a title or author in one line of limited length."""
    return " ".join(name.split())[:_MAX_NAME_CHARS]
