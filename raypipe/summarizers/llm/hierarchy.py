"""From a book's chunks up to one answer: each merge begins as soon as its own parts are there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal, Protocol

from raypipe.core.errors import BookError
from raypipe.summarizers.llm.chunks import LEAST_BYTES, Chunk, halves, split
from raypipe.summarizers.llm.questions import Part, QuestionWriter, Task
from raypipe.summarizers.llm.task_runner import TaskRunner, UsableAnswer
from raypipe.summarizers.llm.tree import levels

Strategy = Literal["auto", "single", "hierarchical"]
Up = Callable[[list[Part]], None]

_TO = " – "  # noqa: RUF001 - from one chapter to another


class _Again(Protocol):
    def __call__(self, parts: list[Part], *, quote: bool = True) -> None: ...


class Stretch(Protocol):
    """Gives sentences of a stretch of the book."""

    def __call__(self, start: int, end: int, words: int) -> str:
        """Return at most so many words of the text between two positions."""


@dataclass
class SummaryHierarchy:
    """The summary of one book, on its way.

    Args:
        questions: Writes the questions.
        asking: Asks them.
        strategy: The whole book in one call where it fits (`single`), where it is no larger
            than a chunk (`auto`), or never (`hierarchical`).
        quoted: The sentences that merges and the final answer get beside the summaries.
        stand_in: Sentences where a model has no usable answer; None = the book fails.
    """

    questions: QuestionWriter
    asking: TaskRunner
    strategy: Strategy
    quoted: Stretch
    stand_in: Stretch | None = None
    said: UsableAnswer | None = None
    degraded: str = ""
    _sections: list[list[Part]] = field(default_factory=list)

    def run(self) -> UsableAnswer | None:
        """Return the answer about the book; None = `stand_in` must do (`degraded` says why).

        Raises:
            BookError, BookLeftError, SetupError: As `TaskRunner.run`; also `too_large`, `too_long`.
        """
        if self._one_call():
            self._single()
        else:
            self._grow(self._chunks())
        self.asking.run()
        return self.said

    @property
    def sections(self) -> tuple[str, ...]:
        """`heading: summary` of each chunk, in reading order; none where one call did it all."""
        parts = [part for place in self._sections for part in place]
        return tuple(f"{part.heading}: {part.text}" for part in parts)

    def _one_call(self) -> bool:
        sizes = self.questions.sizes
        if self.strategy == "hierarchical":
            return len(self._chunks()) == 1
        small = len(self.questions.book.text.encode()) <= sizes.chunk_bytes
        return (small or self.strategy == "single") and self.questions.fits(self.questions.single())

    def _chunks(self) -> tuple[Chunk, ...]:
        sizes, book = self.questions.sizes, self.questions.book
        return split(book, sizes.chunk_bytes, sizes.most_chunk_bytes, sizes.max_chunks)

    def _single(self) -> None:
        self.asking.put(
            self.questions.single(),
            "the book",
            done=self._done,
            too_long=self._in_parts,
            instead=self._give_up,
        )

    def _in_parts(self) -> None:
        """Go on after the model found the whole book too long."""
        chunks = self._chunks()
        self._grow(chunks if len(chunks) > 1 else _halved(chunks[0]))

    def _grow(self, chunks: Sequence[Chunk]) -> None:
        """Ask for all chunks at once, each of them wired to its merge."""
        shape = levels(len(chunks), self.questions.sizes.most_parts)
        ups = joined(len(shape[-1]) if shape else len(chunks), self._final)
        for level in reversed(shape):
            pairs = zip(level, ups, strict=True)
            ups = [one for size, up in pairs for one in joined(size, partial(self._merge, up=up))]
        self._sections = [[] for _ in chunks]
        for place, (chunk, up) in enumerate(zip(_labeled(chunks), ups, strict=True)):
            self._chunk(chunk, partial(self._section, place, up))

    def _section(self, place: int, up: Up, parts: list[Part]) -> None:
        self._sections[place] = parts
        up(parts)

    def _chunk(self, chunk: Chunk, up: Up) -> None:
        task = self.questions.chunk(chunk.text)

        def done(said: UsableAnswer) -> None:
            up([Part(chunk.heading, said.text, chunk.start, chunk.end)])

        self.asking.put(
            task,
            f"the {len(chunk.text):,} characters from {chunk.start:,} on",
            done=done,
            too_long=lambda: self._halve(chunk, up),
            instead=lambda why: done(self._instead(why, task, chunk.start, chunk.end)),
        )

    def _halve(self, chunk: Chunk, up: Up) -> None:
        for half, place in zip(_halved(chunk), joined(2, up), strict=True):
            self._chunk(half, place)

    def _merge(self, parts: list[Part], up: Up, *, quote: bool = True) -> None:
        if len(parts) == 1:
            up(parts)
            return
        start, end = parts[0].start, parts[-1].end
        task = self.questions.merge(parts, self._quoted(start, end) if quote else "")

        def done(said: UsableAnswer) -> None:
            up([Part(_heading(parts), said.text, start, end)])

        self.asking.put(
            task,
            f"a merge of {len(parts)} summaries",
            done=done,
            too_long=lambda: self._fewer(parts, partial(self._merge, up=up), up, quote=quote),
            instead=lambda why: done(self._instead(why, task, start, end)),
        )

    def _final(self, parts: list[Part], *, quote: bool = True) -> None:
        quoted = self._quoted(parts[0].start, parts[-1].end) if quote else ""
        self.asking.put(
            self.questions.final(parts, quoted),
            "the book",
            done=self._done,
            too_long=lambda: self._fewer(parts, self._final, self._final, quote=quote),
            instead=self._give_up,
        )

    def _fewer(self, parts: list[Part], again: _Again, up: Up, *, quote: bool) -> None:
        """Go on where so many summaries are too much at once: two merges, or no quotes."""
        if len(parts) > 2:
            half = len(parts) // 2
            for some, place in zip((parts[:half], parts[half:]), joined(2, up), strict=True):
                self._merge(some, place)
        elif quote:
            again(parts, quote=False)
        else:
            raise _too_long("two summaries")

    def _quoted(self, start: int, end: int) -> str:
        return self.quoted(start, end, self.questions.sizes.extract_words)

    def _done(self, said: UsableAnswer) -> None:
        self.said = said

    def _instead(self, why: BookError, task: Task, start: int, end: int) -> UsableAnswer:
        """Return sentences of the book for one of its parts."""
        if self.stand_in is None:
            raise why
        text = self.stand_in(start, end, task.words)
        self.degraded = self.degraded or f"{why.kind}: {why.message}"
        return UsableAnswer(text)

    def _give_up(self, why: BookError) -> None:
        if self.stand_in is None:
            raise why
        self.degraded = f"{why.kind}: {why.message}"


def joined(places: int, then: Up) -> list[Up]:
    """Return a function for each place; with the last one called, all parts go on together.

    Args:
        places: From how many places parts come, 1 or more.
        then: Takes all parts, in the order of the places.
    """
    there: dict[int, list[Part]] = {}

    def fill(place: int, parts: list[Part]) -> None:
        there[place] = parts
        if len(there) == places:
            then([part for one in sorted(there) for part in there[one]])

    return [partial(fill, place) for place in range(places)]


def _halved(chunk: Chunk) -> tuple[Chunk, Chunk]:
    found = halves(chunk) if len(chunk.text.encode()) > LEAST_BYTES else None
    if found is None:
        raise _too_long(f"a piece of {len(chunk.text.encode()):,} bytes")
    return found


def _too_long(what: str) -> BookError:
    return BookError(
        "too_long", f"the model finds {what} too long; look at summarizer.context_tokens"
    )


def _labeled(chunks: Sequence[Chunk]) -> list[Chunk]:
    """Give each chunk a heading of its own: `Part 3` without one, `CHAPTER I (2)` in pieces."""
    seen: Counter[str] = Counter()
    labeled = []
    for number, chunk in enumerate(chunks, start=1):
        heading = " ".join(chunk.heading.split()) or f"Part {number}"
        seen[heading] += 1
        count = seen[heading]
        labeled.append(replace(chunk, heading=f"{heading} ({count})" if count > 1 else heading))
    return labeled


def _heading(parts: Sequence[Part]) -> str:
    first, last = parts[0].heading.split(_TO)[0], parts[-1].heading.split(_TO)[-1]
    return first if first == last else f"{first}{_TO}{last}"
