"""Remove what is printed on each page of a scanned book: running heads, page numbers, imprints."""

# ruff: noqa: RUF001 - typographic quotes and dashes are intended
from __future__ import annotations

import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from statistics import median

from raypipe.text.imprints import find_imprints
from raypipe.text.likeness import is_like, letters_in
from raypipe.text.numbered_lines import (
    BARE_NUMBER,
    MAX_LINE,
    MIN_NUMBERED,
    NOT_A_HEAD,
    WORDS,
    NumberedLine,
    group_numbered_lines,
    has_numbered_lines,
    may_be_head,
)

_OPEN_END = re.compile(r"[^\W_]$|[,;:\-¬\u2010—–]$")
_MIN_BARE, _MIN_REPEATED = 5, 3
_MAX_PAGES_BETWEEN = 2
_MAX_SHARE = 0.3
_MIN_RISING, _MAX_STEP = 0.8, 6
_MIN_INTERRUPTING = 0.25
_MIN_AT_BREAKS = 0.7
_MIN_PAGE_LINES, _MAX_PAGE_LINES = 18, 80
_SENTENCE_WIDTH, _MIN_OPEN_CHARS = 35, 20
_NEAR, _FAR = 2, 8
"""Lines with text between a page break and a running head."""


def remove_page_furniture(text: str, *, is_wrapped: bool = True) -> str:
    """Return the text without running heads, page numbers and imprints, and without form feeds.

    A line is a running head if it repeats with rising numbers, and stands at page breaks or
    inside sentences. A sentence that goes on after a page break is joined. A text without pages
    stays as it is.

    Args:
        text: Characters as `normalize.normalize_characters` returns them, with form feeds.
        is_wrapped: Whether lines are joined later. If not, a sentence goes on in its line.
    """
    imprints = find_imprints(text)
    if "\f" not in text and not imprints and not has_numbered_lines(text):
        return text
    pages = _Pages(text, imprints)
    furniture = pages.find_furniture()
    if not furniture and "\f" not in text:
        return text
    return pages.join_without(furniture, "\n" if is_wrapped else " ")


class _Pages:
    """The lines with text of a book, and where its pages end.

    Args:
        text: The book.
        imprints: Lines of a scanner's imprint.
    """

    def __init__(self, text: str, imprints: set[str]) -> None:
        self.lines: list[str] = []
        self.gaps: list[int] = []  # line ends before each line
        self.breaks: set[int] = set()  # lines after a form feed
        self._imprints = imprints
        gap = 0
        is_new_page = False
        for line in text.split("\n"):
            gap += 1
            for number, part in enumerate(line.split("\f")):
                is_new_page = is_new_page or number > 0
                if part.strip():
                    if is_new_page:
                        self.breaks.add(len(self.lines))
                    self.lines.append(part)
                    self.gaps.append(gap)
                    gap, is_new_page = 0, False

    def find_furniture(self) -> set[int]:
        """Return the places of the lines that are no part of the text."""
        found = {index for index, line in enumerate(self.lines) if line.strip() in self._imprints}
        imprints = frozenset(found)
        form_feeds = sorted(self.breaks)
        lengths = [after - before for before, after in pairwise(form_feeds)]
        if lengths and median(lengths) > _MAX_PAGE_LINES:
            form_feeds = []  # between chapters
        breaks = {*form_feeds, *found, *(index + 1 for index in found)}
        for key, lines in group_numbered_lines(self.lines).items():
            if self._are_heads(key, lines, breaks, found):
                found.update(line.place for line in lines)
        if len(found) + len(form_feeds) >= MIN_NUMBERED:
            found |= self._find_repeated(found)
        removed = sum(len(self.lines[index]) for index in found - imprints)
        return set(imprints) if removed > _MAX_SHARE * sum(map(len, self.lines)) else found

    def join_without(self, furniture: set[int], inside: str) -> str:
        """Return the text without some lines; sentences go on across page breaks.

        Args:
            furniture: Places of the lines.
            inside: The characters between the two halves of a sentence.
        """
        parts: list[str] = []
        last = ""
        gap, is_break = 0, False
        for index, line in enumerate(self.lines):
            gap = max(gap, self.gaps[index])
            is_break = is_break or index in self.breaks
            if index in furniture:
                is_break = True
                continue
            if not parts:
                glue = "" if is_break else "\n" * (gap - 1)
            elif not is_break:
                glue = "\n" * gap
            elif _goes_on(last, line):
                glue = inside
            else:
                glue = "\n" * max(gap, 2)
            parts += (glue, line)
            last, gap, is_break = line, 0, False
        return "".join(parts)

    def _are_heads(
        self, key: str, lines: Sequence[NumberedLine], breaks: set[int], found: set[int]
    ) -> bool:
        words = key.split()
        if len(lines) < (MIN_NUMBERED if words else _MIN_BARE):
            return False
        steps = [after.number - before.number for before, after in pairwise(lines)]
        rising = sum(0 < step <= _MAX_STEP for step in steps)
        if rising < _MIN_RISING * len(steps) or not may_be_head(key):
            return False
        skipped = found | {line.place for line in lines}
        at_breaks = sum(self._is_near(line.place, breaks) for line in lines)
        if at_breaks >= _MIN_AT_BREAKS * len(lines):
            return True
        interrupting = sum(self._interrupts(line.place, skipped) for line in lines)
        return interrupting >= _MIN_INTERRUPTING * len(lines) or (
            len(words) != 1 and self._are_regular(lines, steps)
        )

    def _are_regular(self, lines: Sequence[NumberedLine], steps: Sequence[int]) -> bool:
        """Return whether lines stand at nearly equal distances, with page numbers."""
        by_page = sum(step in (1, 2) for step in steps)
        distances = [after.place - before.place for before, after in pairwise(lines)]
        usual = median(distances)
        near = sum(0.6 * usual <= distance <= 1.4 * usual for distance in distances)
        is_page = _MIN_PAGE_LINES <= usual <= _MAX_PAGE_LINES and len(lines) > _MIN_BARE
        return is_page and by_page >= 0.9 * len(steps) and near >= _MIN_RISING * len(distances)

    def _is_near(self, index: int, breaks: set[int]) -> bool:
        return any(place in breaks for place in range(index - _NEAR + 1, index + _NEAR + 1)) or (
            index + 1 == len(self.lines)
        )

    def _interrupts(self, index: int, skipped: set[int]) -> bool:
        """Return whether the sentence before a line goes on after it."""
        before = next((at for at in range(index - 1, index - _FAR, -1) if at not in skipped), -1)
        after = next((at for at in range(index + 1, index + _FAR) if at not in skipped), -1)
        if before < 0 or not 0 < after < len(self.lines):
            return False
        return _goes_on(self.lines[before], self.lines[after])

    def _find_repeated(self, found: set[int]) -> set[int]:
        """Return lines at page breaks that repeat there, with or without a number."""
        breaks = {0} | self.breaks | found | {index + 1 for index in found}
        near = sorted(
            {place for index in breaks for place in range(index - _NEAR, index + _NEAR)} - found
        )
        groups: defaultdict[str, list[int]] = defaultdict(list)
        for index in near:
            if 0 <= index < len(self.lines) and len(self.lines[index]) <= MAX_LINE:
                words = WORDS.findall(self.lines[index].lower())
                if words and words[0] not in NOT_A_HEAD and self._is_separate(index):
                    groups[" ".join(words)].append(index)
        heads = {letters_in(self.lines[index]) for index in found}
        pages = _number_pages(breaks)
        repeated = {
            index
            for key, places in groups.items()
            if _are_on_following_pages(places, pages) or is_like(letters_in(key), heads)
            for index in places
        }
        first = min(found | self.breaks, default=0)
        repeated = {index for index in repeated if index >= first or self._precedes_prose(index)}
        bare = {
            index
            for index in near
            if 0 <= index < len(self.lines)
            and BARE_NUMBER.fullmatch(line := self.lines[index])
            and (line.islower() or any(map(str.isdigit, line)))  # no chapter XII
        }
        return repeated | {index for index in bare if index >= first}

    def _is_separate(self, index: int) -> bool:
        """Return whether a line is no line of a paragraph."""
        line = self.lines[index].strip()
        after = self.gaps[index + 1] if index + 1 < len(self.gaps) else 2
        stands_alone = (self.gaps[index] > 1 or index in self.breaks) and (
            after > 1 or index + 1 in self.breaks
        )
        return line[-1] not in ".,;:!?-" and (stands_alone or line.isupper())

    def _precedes_prose(self, index: int) -> bool:
        """Return whether a long line follows, as after no line of a title page."""
        following = self.lines[index + 1 : index + 2]
        return any(len(line.strip()) > _SENTENCE_WIDTH for line in following)


def _number_pages(breaks: set[int]) -> list[int]:
    """Return the first places of pages; breaks that are near are one."""
    starts: list[int] = []
    for index in sorted(breaks):
        if not starts or index - starts[-1] > 2 * _NEAR:
            starts.append(index)
    return starts


def _are_on_following_pages(places: Sequence[int], pages: Sequence[int]) -> bool:
    """Return whether a line repeats on each page or on each second page."""
    if len(places) < _MIN_REPEATED:
        return False
    numbers = [bisect_right(pages, place + 2 * _NEAR) for place in places]
    return median(after - before for before, after in pairwise(numbers)) <= _MAX_PAGES_BETWEEN


def _goes_on(before: str, after: str) -> bool:
    """Return whether a sentence goes on from one line to another."""
    line = before.rstrip()
    return (
        len(line) > _MIN_OPEN_CHARS
        and _OPEN_END.search(line) is not None
        and after.lstrip()[:1].islower()
    )
