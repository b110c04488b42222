"""Each step takes a time that grows with its text and not with the square of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from raypipe.core.errors import BookError
from raypipe.embedders.hash import HashEmbedder
from raypipe.summarizers.extractive import ExtractiveSummarizer
from raypipe.summarizers.llm.chunks import split_into_chunks
from raypipe.text import Chapter, CleanText, TextCleaner
from raypipe.text.metadata import read_metadata
from raypipe.text.normalize import normalize_characters
from raypipe.text.sentences import split_here
from raypipe.text.table_of_contents import remove_contents
from raypipe.text.transcriber_notes import remove_notes
from raypipe.text.unwrap import unwrap_lines
from tests.benchmarks.hostile_texts import hostile_texts

MAX_CPU_S = 2.5
"""Each of the cases took longer before, most of them minutes or hours."""


def _contents(text: str) -> object:
    return remove_contents(text)


def _header(text: str) -> object:
    return read_metadata(text, "", "x")


def _english(text: str) -> object:
    return split_here(text, "en")


def _german(text: str) -> object:
    return split_here(text, "de")


def _chunks(text: str) -> object:
    return split_into_chunks(_book(text), 800_000, 1_000_000, 500)


def _many_chapters(text: str) -> object:
    chapters = tuple(Chapter("A", start, start + 10) for start in range(0, len(text), 10))
    return split_into_chunks(_book(text, chapters), len(text), len(text) * 2, 500)


def _book(text: str, chapters: tuple[Chapter, ...] = ()) -> CleanText:
    return CleanText(text, "A", "B", "en", "utf-8", 1, (), "hash", chapters)


CASES: dict[str, tuple[Callable[[str], object], str]] = {
    "contents": (_contents, "CONTENTS\n\n" * 4_000),
    "contents in one paragraph": (_contents, "CONTENTS\n" * 20_000),
    "contents with one entry": (_contents, "CONTENTS\n\nThe Storm 7\n\n" * 8_000),
    "contents whose entries occur again": (
        _contents,
        "".join(f"CONTENTS\n\nstorm{number}\n\n" for number in range(5_000)),
    ),
    "spaces after contents": (_contents, "CONTENTS" + " " * 60_000 + "x\n"),
    "underscores after a volume": (_contents, "contents of vol " + "_" * 60_000 + "!\n"),
    "a line of spaces after contents": (_contents, "CONTENTS\n" + " " * 200_000 + "\nx"),
    "transcriber's notes": (remove_notes, "Transcriber's Notes\n\n" * 10_000),
    "transcriber's notes in one paragraph": (remove_notes, "Transcriber's Notes\n" * 40_000),
    "transcriber's notes of one paragraph": (
        remove_notes,
        "Transcriber's Note\n\nA spelling.\n\nThe sea.\n\nThe sea.\n\n" * 20_000,
    ),
    "spaces before a bracket": (remove_notes, "transcriber " + " " * 100_000),
    "errata": (remove_notes, "ERRATA\n" * 20_000),
    "errata with corrections": (remove_notes, "ERRATA\n\nPage 3, line 4\n\n\n\n\nx\n\n" * 60_000),
    "combining marks": (normalize_characters, "a" + "\u0301\u0327\u0328\u0316" * 50_000),
    "spaces in an illustration": (unwrap_lines, "[Illustration:" + " " * 100_000),
    "a long word at a line end": (unwrap_lines, ("the sea " * 9 + "\n") * 50 + "a" * 100_000),
    "broken words only": (unwrap_lines, "light-\nhouse\n\n" * 20_000),
    "colons in a line of a title": (_header, "Title: A\n  " + "a" * 30_000 + "::\n"),
    "named aliases": (_header, "Title: A\nAuthor: " + "(aka " * 60_000),
    "stops and quotes": (_english, '."' * 100_000),
    "question marks": (_english, "?!" * 100_000),
    "brackets and stops": (_english, "(." * 100_000),
    "clauses": (_english, "a!;" * 150_000),
    "opening quotes, German": (_german, "“" * 200_000),
    "Chinese sentences": (_german, "天地玄黃。宇宙洪荒！" * 50_000),
    "breaks of a chunk": (_chunks, "é " * 600_000),
    "chapters of a chunk": (_many_chapters, "a" * 800_000),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_no_step_takes_a_quadratic_time(case: str) -> None:
    step, text = CASES[case]
    started = time.process_time()
    step(text)
    assert time.process_time() - started < MAX_CPU_S


KINDS = dict(hostile_texts(20_000))


@pytest.mark.parametrize("kind", KINDS)
def test_no_kind_of_text_is_slow_or_raises(kind: str) -> None:
    data = KINDS[kind]()
    started = time.process_time()
    with suppress(BookError):
        book = TextCleaner().clean(data, "a_book.txt")
        assert ExtractiveSummarizer(HashEmbedder()).summarize(book).text
    assert time.process_time() - started < MAX_CPU_S
