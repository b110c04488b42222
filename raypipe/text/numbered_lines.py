"""Find lines with a number at one end, which may be running heads or page numbers."""

# ruff: noqa: RUF001 - typographic dashes are intended
from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

MAX_LINE = 90
"""Characters of the longest running head."""
MIN_NUMBERED = 4
"""Lines with the same words that may be running heads."""
WORDS = re.compile(r"[^\W\d_]+")
BARE_NUMBER = re.compile(
    r"[\f \t\[({—–|-]*(?:(?:p(?:age|g|ágina|agina|ág|\.)?|seite)[ .]{0,2})?"
    r"(?:\d{1,4}|[ivxl]{1,7})(?:[ \t]*(?:of|von|de|sur|di|/)[ \t]*\d{1,4})?[ \t\])}—–|.-]*",
    re.I,
)
"""A page number alone: 12, - 12 -, [Pg 12], xii, Page 3 of 20."""
NOT_A_HEAD = frozenset(
    {"chapter", "book", "part", "volume", "vol", "canto", "act", "scene", "letter", "section"}
    | {"fig", "figure", "plate", "map", "table", "note", "footnote", "illustration", "no", "number"}
    | {"chapitre", "kapitel", "capitolo", "capítulo", "livre", "buch", "libro", "teil", "page"}
)
"""First words of headings and captions, which are numbered, too."""
_LAST_NUMBER = re.compile(r"(?<=[ \t\n\f\[({—–|-])(\d{1,4})[\])}—–|.-]{0,2}[ \t]*+$", re.M)
_FIRST_NUMBER = re.compile(
    r"^[\f \t]*[\[({—–|-]{0,2}[ \t]*+(\d{1,4})(?=[\])}—–|.-]{0,2}(?:\s|$))", re.M
)
_DIGITS = re.compile(r"\d+")
_EDGES = "\f \t[](){}—–|.-"
_ROMAN = " "
"""Key of Roman page numbers."""
_ROMAN_LETTERS = {"i": 1, "v": 5, "x": 10, "l": 50}


class NumberedLine(NamedTuple):
    """A line that may be a running head.

    Attributes:
        place: Its place among the lines with text.
        number: The number at one of its ends.
        key: Its other words, in small letters; empty for a page number alone.
    """

    place: int
    number: int
    key: str


def has_numbered_lines(text: str) -> bool:
    """Return whether enough lines have the same words beside a number to be running heads."""
    counts: defaultdict[str, int] = defaultdict(int)
    for match in _DIGITS.finditer(text):
        lowest, highest = max(0, match.start() - MAX_LINE), match.end() + MAX_LINE
        start = text.rfind("\n", lowest, match.start()) + 1
        end = text.find("\n", match.end(), highest)
        if (not start and lowest) or (end < 0 and highest < len(text)):
            continue  # a long line
        end = end if end >= 0 else len(text)
        before, after = text[start : match.start()], text[match.end() : end]
        if end - start > MAX_LINE or (before.strip(_EDGES) and after.strip(_EDGES)):
            continue
        key = _key_of(text[start:end])
        counts[key] += 1
        if counts[key] >= MIN_NUMBERED and may_be_head(key):
            return True
    return False


def may_be_head(key: str) -> bool:
    """Return whether the words of a line are more than those of a heading, such as `chapter`."""
    words = key.split()
    return not words or not NOT_A_HEAD.issuperset(words)


def group_numbered_lines(lines: Sequence[str]) -> Mapping[str, list[NumberedLine]]:
    """Return the lines with a number at the start or the end by their other words.

    Roman page numbers in small letters are lines with a number, too.

    Args:
        lines: The lines with text.
    """
    groups: defaultdict[str, list[NumberedLine]] = defaultdict(list)
    for place, line in enumerate(lines):
        if len(line) > MAX_LINE:
            continue
        key = _key_of(line)
        match = _LAST_NUMBER.search(f"\n{line}") or _FIRST_NUMBER.match(line)
        if key and match:
            groups[key].append(NumberedLine(place, int(match[1]), key))
        elif not key and (number := _page_number_of(line)):
            groups[_ROMAN if number[1] else ""].append(NumberedLine(place, number[0], ""))
    return groups


def _key_of(line: str) -> str:
    """Return the words of a line without its numbers; empty for a page number alone."""
    return "" if BARE_NUMBER.fullmatch(line) else " ".join(WORDS.findall(line.lower()))


def _page_number_of(line: str) -> tuple[int, bool] | None:
    """Return a page number and whether it is Roman; None for Roman capitals, as of chapters."""
    if digits := _DIGITS.search(line):  # the first: Page 3 of 20
        return int(digits[0]), False
    letters = WORDS.findall(line)
    if not letters or not letters[-1].islower():
        return None
    values = [_ROMAN_LETTERS.get(letter, 0) for letter in letters[-1]]
    number = sum(
        -value if value < after else value
        for value, after in zip(values, [*values[1:], 0], strict=True)
    )
    return (number, True) if number > 0 else None
