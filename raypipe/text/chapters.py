"""Find the chapters of a clean text by its headings."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from raypipe.text.headings import (
    CHAPTER_LEVEL,
    MAX_TITLE_CHARS,
    NUMERAL_LEVEL,
    Heading,
    is_named_heading,
    is_speech,
    may_be_numbered,
    read_named_heading,
    read_numbered_heading,
    read_title_below,
    short_paragraphs,
)

_CHARS_PER_WORD = 6
_MIN_CHAPTER_WORDS = 40
"""Minimum words of the median chapter under headings with a word such as CHAPTER. Shorter spans
are a table of contents or a list."""
_MIN_NUMERAL_CHAPTER_WORDS = 150
"""The same under headings that are only a numeral: stanzas and sonnets have these too."""
_MIN_FRONT_WORDS = 150
"""A shorter title page belongs to the first chapter."""
_MIN_SHARE_IN_ORDER = 0.7
_MAX_LIST_CHARS = 60
_MAX_MERGE_CHARS = 200


@dataclass(frozen=True, slots=True)
class Chapter:
    """A span of a clean text.

    Attributes:
        title: The heading and the title below it, e.g. `CHAPTER I. The Storm`; empty for the
            text before the first heading.
        start: Position of its first character, the first of the heading.
        end: Position after its last character.
    """

    title: str
    start: int
    end: int


def find_chapters(text: str, titles: Iterable[str] = ()) -> tuple[Chapter, ...]:
    """Return a book's chapters, which cover the whole text; empty if it has none.

    Numbered headings (CHAPTER I, Book the Second, ACT II, XIV) count if their numbers are
    consecutive and the text between them is long enough. So a dictionary's letters, a sonnet's
    numeral or a list of rules is not a chapter. If no headings have a word such as CHAPTER, the
    titles of a table of contents count too: the works of an anthology.

    Args:
        text: Clean text: paragraphs separated by a blank line.
        titles: The titles that the book's table of contents listed.
    """
    numbered = [
        heading
        for position, block in short_paragraphs(text, may_be_numbered)
        if (heading := read_numbered_heading(position, block))
    ]
    chosen = _choose_numbered(numbered, text)
    if not any(CHAPTER_LEVEL <= heading.level < NUMERAL_LEVEL for heading in chosen):
        chosen = sorted([*chosen, *_find_listed_titles(titles, text)])
    if len(chosen) < 2:
        return ()
    named = [
        read_named_heading(position, block)
        for position, block in short_paragraphs(text, is_named_heading)
    ]
    taken = {heading.start for heading in chosen}
    headings = sorted([*chosen, *(heading for heading in named if heading.start not in taken)])
    return tuple(_chapters_between(_merge_headings(headings, text), text))


def _choose_numbered(headings: list[Heading], text: str) -> list[Heading]:
    """Return the headings of the levels that form a consistent sequence, in reading order."""
    chosen: dict[int, list[Heading]] = {}
    for level in range(NUMERAL_LEVEL + 1):
        same_level = [heading for heading in headings if heading.level == level]
        same_level = _drop_list_items(_drop_titles_below(same_level), text)
        is_numeral = level == NUMERAL_LEVEL
        with_title = sum(" " in heading.title for heading in same_level)
        is_bare = is_numeral and with_title < 0.8 * len(same_level)
        min_words = _MIN_NUMERAL_CHAPTER_WORDS if is_bare else _MIN_CHAPTER_WORDS
        min_headings = 3 if is_numeral else 2
        if len(same_level) >= min_headings and _is_sequence(same_level, min_words, text):
            chosen[level] = same_level
    # The widest of these levels gives the chapters: sections or letters inside them do not count.
    chapter_levels = [level for level in chosen if level >= CHAPTER_LEVEL]
    return sorted(
        heading
        for level in chosen
        if level in chapter_levels[:1] or level < CHAPTER_LEVEL
        for heading in chosen[level]
    )


def _drop_titles_below(headings: list[Heading]) -> list[Heading]:
    """Drop `I RIDE A HORSE` directly below a bare `IV`: it is the title of that chapter."""
    titles = {
        below
        for heading, below in pairwise(headings)
        if below.start == heading.end + 2 and " " not in heading.title and " " in below.title
    }
    return [heading for heading in headings if heading not in titles]


def _drop_list_items(headings: list[Heading], text: str) -> list[Heading]:
    """Drop headings with almost no text below: the lines of a list of chapters."""
    lengths = _chapter_lengths(headings, text)
    return [
        heading
        for heading, length in zip(headings, lengths, strict=True)
        if length > _MAX_LIST_CHARS
    ]


def _is_sequence(headings: list[Heading], min_words: int, text: str) -> bool:
    """Return whether the headings have consecutive numbers and enough text between them."""
    steps = [after.number - before.number for before, after in pairwise(headings)]
    restarts = sum(after.number == 1 for _, after in pairwise(headings))
    consecutive = steps.count(1)
    # A second volume may begin with CHAPTER XX; bare numerals that begin late mean something else.
    begins_late = headings[0].level == NUMERAL_LEVEL and headings[0].number > 2
    in_order = consecutive + restarts >= _MIN_SHARE_IN_ORDER * len(steps)
    if begins_late or not in_order or consecutive < restarts:
        return False
    return median(_chapter_lengths(headings, text)) >= _CHARS_PER_WORD * min_words


def _chapter_lengths(headings: list[Heading], text: str) -> list[int]:
    """Return the number of characters between each heading and the next."""
    ends = [*(heading.start for heading in headings), len(text)][1:]
    return [end - heading.end for heading, end in zip(headings, ends, strict=False)]


def _find_listed_titles(titles: Iterable[str], text: str) -> list[Heading]:
    """Return the headings listed in a table of contents: stories, poems, essays."""
    listed = {key for title in titles if (key := _key(title))}
    if not listed:
        return []

    def is_listed(block: str) -> bool:
        return _key(block) in listed and not is_speech(block)

    found: dict[str, Heading] = {}
    for position, block in short_paragraphs(text, is_listed):
        if (key := _key(block)) not in found:
            found[key] = Heading(position, position + len(block), 0, 0, " ".join(block.split()))
    headings = list(found.values())
    if len(headings) < 3 or 2 * len(headings) < len(listed):
        return []
    min_chars = _CHARS_PER_WORD * _MIN_CHAPTER_WORDS
    return headings if median(_chapter_lengths(headings, text)) >= min_chars else []


def _merge_headings(headings: list[Heading], text: str) -> list[Heading]:
    """Give each heading the title below it, and merge BOOK I with its CHAPTER I."""
    numbered_starts = {heading.start for heading in headings if heading.number}
    merged: list[Heading] = []
    for heading in headings:
        if merged and heading.start < merged[-1].end:
            continue  # the title of the heading before
        if heading.number:
            heading = read_title_below(heading, text, numbered_starts)
        last = merged[-1] if merged else None
        if last and heading.start - last.end < _MAX_MERGE_CHARS:
            title = f"{last.title} {heading.title}"[: 2 * MAX_TITLE_CHARS]
            merged[-1] = last._replace(end=heading.end, title=title)
        else:
            merged.append(heading)
    return merged


def _chapters_between(headings: list[Heading], text: str) -> Iterator[Chapter]:
    first = headings[0].start
    if len(text[:first].split()) < _MIN_FRONT_WORDS:
        headings = [headings[0]._replace(start=0), *headings[1:]]
    else:
        yield Chapter("", 0, first)
    ends = [*(heading.start for heading in headings[1:]), len(text)]
    for heading, end in zip(headings, ends, strict=True):
        yield Chapter(heading.title, heading.start, end)


def _key(line: str) -> str:
    """Return the letters and digits of a line, ignoring case."""
    return "".join(re.findall(r"[^\W_]+", line.casefold()))
