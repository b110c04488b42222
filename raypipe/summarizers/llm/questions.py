"""From a piece of work to the question that the model is asked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from raypipe.models.protocol import Question
from raypipe.summarizers.llm.fields import SCHEMA
from raypipe.summarizers.llm.prompts import CATALOG_TAG, Prompts, as_data
from raypipe.summarizers.llm.token_budget import TokenBudget
from raypipe.text import CleanText

Level = Literal["chunk", "merge", "final", "single"]

_SCHEMA_NAME = "book"
_LONGEST_NAME = 200
_QUOTED = "Sentences quoted from these parts:"


@dataclass(frozen=True, slots=True)
class Part:
    """The summary of a stretch of the book.

    Args:
        heading: What it is called.
        text: The summary.
        start: Position of the stretch's first character in the book.
        end: Position behind its last.
    """

    heading: str
    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Task:
    """Something to ask the model.

    Args:
        level: Which prompt.
        text: The material: a piece of the book, or summaries.
        words: Words of the answer at most; of its summary, where it is JSON.
        problem: What was wrong with the answer before; empty = it is asked for the first time.
        repairs: The material is an answer in prose that is to become JSON.
    """

    level: Level
    text: str
    words: int
    problem: str = ""
    repairs: bool = False

    @property
    def structured(self) -> bool:
        """Whether the answer is JSON."""
        return self.level in ("final", "single")


@dataclass(frozen=True)
class QuestionWriter:
    """Writes the questions about one book.

    The prompts of chunks and merges hold nothing of the book but their own text: what was paid
    for is found again when title, author or another prompt changes.

    Args:
        prompts: What the model is told.
        sizes: How much it is given and asked for.
        book: The book.
    """

    prompts: Prompts
    sizes: TokenBudget
    book: CleanText

    def chunk(self, text: str) -> Task:
        """Ask for the summary of a piece of the book."""
        return Task("chunk", text, self.sizes.wanted(self.sizes.chunk_words, text))

    def merge(self, parts: list[Part], quoted: str) -> Task:
        """Ask for one summary of several."""
        text = material(parts, quoted)
        return Task("merge", text, self.sizes.wanted(self.sizes.merge_words, text))

    def final(self, parts: list[Part], quoted: str) -> Task:
        """Ask for the answer about the book, from summaries of its parts."""
        # Of a book with long summaries a third is more than enough: no need to look.
        return Task("final", material(parts, quoted), self._words())

    def single(self) -> Task:
        """Ask for the answer about the book, from the book."""
        return Task("single", self.book.text, self._words())

    def tighter(self, task: Task, problem: str) -> Task:
        """Ask again, for less, and say what was wrong."""
        return replace(task, words=self.sizes.tighter(task.words), problem=problem)

    def repair(self, task: Task, answer: str) -> Task:
        """Ask for an answer in prose as JSON."""
        return replace(task, text=answer, repairs=True)

    def fits(self, task: Task) -> bool:
        """Whether a task fits into the model's window, as far as can be told without asking."""
        asked = self.question(task)
        size = len(asked.system.encode()) + len(asked.prompt.encode())
        return self.sizes.fits(size, asked.max_tokens)

    def question(self, task: Task) -> Question:
        """Return what the model is asked."""
        name = "repair" if task.repairs else task.level
        words = {"words": str(task.words), "plot_words": str(self.sizes.plot_words(task.words))}
        prompt = self.prompts.written(
            name, text=as_data(task.text), catalog=self._catalog(), **words
        )
        if task.problem:
            prompt += "\n\n" + self.prompts.written("tighter", problem=task.problem, **words)
        system = self.prompts.system.strip()
        if not task.structured:
            return Question(system, prompt, self.sizes.answer_tokens(task.words))
        tokens = self.sizes.final_tokens(task.words)
        return Question(system, prompt, tokens, schema=SCHEMA, schema_name=_SCHEMA_NAME)

    def _words(self) -> int:
        return self.sizes.wanted(self.sizes.words, self.book.text)

    def _catalog(self) -> str:
        said = [f"Title: {_line(self.book.title)}"]
        if self.book.author:
            said.append(f"Author: {_line(self.book.author)}")
        return as_data("\n".join(said), CATALOG_TAG)


def material(parts: list[Part], quoted: str) -> str:
    """Return summaries as one text, each under its heading, then the quoted sentences."""
    told = [f"{part.heading}\n{part.text}" if part.heading else part.text for part in parts]
    return "\n\n".join([*told, f"{_QUOTED}\n{quoted}"] if quoted else told)


def overhead_bytes(prompts: Prompts) -> int:
    """Return the bytes that any prompt has beside its text, at most."""
    longest = max(
        len(prompts.written(name, text=as_data(""), words="0", plot_words="0").encode())
        for name in ("chunk", "merge", "final", "single", "repair")
    )
    around = len(prompts.system.encode()) + len(prompts.tighter.encode())
    return longest + around + 2 * _LONGEST_NAME * 4 + 200


def _line(name: str) -> str:
    """Return a title or author in one line of bearable length."""
    return " ".join(name.split())[:_LONGEST_NAME]
