"""Remove tables of contents and lists of illustrations, and return the titles they list."""

# ruff: noqa: RUF001 - typographic quotes and dashes are intended
from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from raypipe.text.cuts import PARAGRAPH, ReadingBudget, TextCuts

_WHOSE = (
    r"(?:of|to) (?:the )?(?:\w{1,40} )?(?:vol(?:ume|\.)?|book|part)(?: [\w.]{1,40})?"
    r"|of vol\. \w{1,40}"
)
_HEADING = re.compile(
    r"^[ \t_*=]*+(?:"
    rf"(?:the )?(?:table of )?contents(?: {_WHOSE})?"
    r"|(?:a )?(?:list|table) of (?:the )?(?:\w{1,40}[ -])?"
    r"(?:illustrations|plates|maps|figures|portraits|chapters|poems|stories)"
    r"|illustrations|inhalt(?:sverzeichni(?:s|ß))?|table des mati[eè]res|sommaire|[ií]ndice"
    r")[ \t_*=]*+(?:[.:][ \t_*=]*+)?$",
    re.I | re.M,
)
_PICTURES = re.compile("illustrations|plates|maps|figures|portraits", re.I)
_PAGE = r"(?:\d{1,4}(?:[-–]\d{1,4})?|[ivxl]{1,7}|_?frontispiece_?)"
_PAGED = re.compile(rf"(?:\t| {{2,}}|[ ]?(?:\.[ ]?){{3,}}|[ ]?…+[ ]?)_?({_PAGE})_?\.?[ \t]*$", re.I)
_LOOSELY_PAGED = re.compile(r"(?:,|\.|--|—)? ?[ ](\d{1,4})\.?[ \t]*$")
_COLUMNS = re.compile(
    r"[\s_*]*(?:(?:chapters?|chap\.|facing|to face|number|no\.|pages?|p\.)[\s_*.]*)+", re.I
)
_NUMBER = re.compile(
    r"^\W*(?:(?:chapter|chap\.|book|part|canto|letter|act|scene|no\.?)\s+)?"
    r"(?:[ivxlcdm]+|\d+)(?:[.:)\]]|--|—|\s)[\s.:—-]*(?=\S)",
    re.I,
)
_HEADING_WORD = re.compile(r"\W*(?:chapter|chap|book|part|canto|letter|act|scene|volume)\W*", re.I)
_AUTHOR = re.compile(r"[,.]? {2,}(?=\S)|,? (?:by|BY|By) (?=[A-Z])|\t")
_WORDS = re.compile(r"[^\W_]+")
_ILLUSTRATION = re.compile(r"^illustration:?", re.I)
_TAG = re.compile(r"^\s*\[?illustration:", re.I)
_MAX_PROSE_CHARS = 200
_MAX_HEADING_CHARS = 120
_MAX_LINE_CHARS = 90
_MAX_ENTRY_CHARS = 1_500
_MAX_UNMATCHED = 3
"""Consecutive lines without a match later in the book, which may write a title differently."""
_MAX_UNPAGED = 6
"""Consecutive lines without a page: names of parts, entries over several lines."""
_MIN_GAP = 4
_MAX_TABLE_SHARE = 0.3
_SHORT_TABLE_CHARS = 1_500


@dataclass(frozen=True, slots=True)
class TextWithoutContents:
    """A book without its tables of contents.

    Attributes:
        body: The book.
        titles: The titles that the tables listed, in order, without numbers and pages.
    """

    body: str
    titles: tuple[str, ...]


@dataclass(slots=True)
class _Table:
    """The entries read so far of a table, and the evidence that it is a table.

    Attributes:
        end: Position after the last entry.
        paged: Entries with a page.
        matched: Entries whose words occur again later as a line.
        lines: Lines up to the last matched entry.
        pages: Page numbers in order.
        titles: Titles of the entries.
    """

    end: int
    paged: int = 0
    matched: int = 0
    lines: int = 0
    pages: list[int] = field(default_factory=list)
    titles: list[str] = field(default_factory=list)


def remove_contents(body: str) -> TextWithoutContents:
    """Remove each table of contents and list of illustrations that its entries prove.

    An entry ends with a page, or its words occur again later as a separate line. A heading
    CONTENTS alone removes nothing, and the first heading of the book itself, which occurs for
    the last time, ends the table.

    Args:
        body: The book before its lines are joined.
    """
    titles: list[str] = []
    cuts, reader = TextCuts(body), _TableReader(body)
    position = 0
    while heading := _HEADING.search(body, position):
        position = heading.end()
        if reader.budget.is_spent:
            break
        limit = heading.start() + int(max(_MAX_TABLE_SHARE * cuts.length, _SHORT_TABLE_CHARS))
        table = reader.read(heading.end(), limit)
        if heading.end() < table.end <= limit:
            titles += [] if _PICTURES.search(heading[0]) else table.titles
            cuts.cut(heading.start(), table.end)
            reader.budget.cut(table.end - heading.start())
            position = cuts.rest
    return TextWithoutContents(cuts.shorten(), tuple(dict.fromkeys(titles)))


class _TableReader:
    """Reads the tables of one book.

    Args:
        body: The book before its lines are joined.
    """

    def __init__(self, body: str) -> None:
        self.budget = ReadingBudget(body)
        self._body = body
        self._remaining: _RemainingHeadings | None = None

    def read(self, start: int, limit: int) -> _Table:
        """Read the table after a heading; its `end` is `start` if there is no table.

        Args:
            start: Position after the heading.
            limit: A table that ends after it is too long, and is not read to its end.
        """
        self.budget.start_heading()
        table = self._read_with_pages(start)
        if table.end > start:
            return table
        if self._remaining is None:
            self._remaining = _RemainingHeadings(self._body, start)
        self._remaining.advance(start)
        return self._read_without_pages(start, limit, self._remaining.counts)

    def _read_with_pages(self, start: int) -> _Table:
        """Read a table with page numbers. It ends with the last number before the prose."""
        table, loosely_paged, unpaged = _Table(start), 0, 0
        for position, line, gap in self._lines_before_prose(start):
            page = _page_of(line)
            if gap >= _MIN_GAP and unpaged and not table.paged:
                break  # names without pages, then the book begins
            if gap >= _MIN_GAP and table.paged and not _PAGED.search(line):
                unpaged += 1  # more likely a title page than an entry over two lines
            if not page:
                unpaged += 1
                if unpaged > _MAX_UNPAGED:
                    break
                continue
            number = int(page) if page.isdigit() else 0
            if unpaged >= _MAX_UNMATCHED and table.pages and number < table.pages[-1]:
                break  # a poem's line numbers
            loosely_paged += not _PAGED.search(line)
            table.pages += [number] if number else []
            table.titles.append(_title_of(_LOOSELY_PAGED.sub("", _PAGED.sub("", line))))
            table.paged, table.end, unpaged = table.paged + 1, position + len(line), 0
        rising = sum(page <= next_page for page, next_page in pairwise(table.pages))
        in_order = rising >= 0.8 * (len(table.pages) - 1)
        mostly_loose = 2 * loosely_paged > table.paged
        is_table = table.paged >= 3 and in_order if mostly_loose else table.paged >= 2
        return table if is_table else _Table(start)

    def _lines_before_prose(self, start: int) -> Iterator[tuple[int, str, int]]:
        """Yield position, text and preceding line ends of each line up to the first prose."""
        end = start
        for block in PARAGRAPH.finditer(self._body, start):
            self.budget.read(block.end() - end)
            lines = block[0].split("\n")
            if not _page_of(lines[-1]) and (
                len(block[0]) > _MAX_ENTRY_CHARS
                or (len(block[0]) > _MAX_PROSE_CHARS and not any(map(_page_of, lines)))
            ):
                return
            position, gap = block.start(), self._body.count("\n", end, block.start())
            for line in lines:
                yield position, line, gap
                position, gap = position + len(line) + 1, 1
            end = block.end()

    def _read_without_pages(self, start: int, limit: int, remaining: Counter[str]) -> _Table:
        """Read a table without page numbers: nearly all of its lines occur again later.

        Args:
            start: Position after the heading.
            limit: As for `read`.
            remaining: Counts of the keys of possible headings after the paragraph of the heading.
        """
        seen: Counter[str] = Counter()
        passed: Counter[str] = Counter()  # possible headings from `start` up to this one
        table, unmatched, end, widest_gap = _Table(start), 0, start, 0
        lines = matched = 0
        for block in PARAGRAPH.finditer(self._body, start):
            self.budget.read(block.end() - end)
            gap = self._body.count("\n", end, block.start())
            if block.start() > start + 1:
                passed.update(_keys_of_heading(block[0]))
            if end > start and gap >= _MIN_GAP and gap > widest_gap and matched >= 3:
                break
            widest_gap, end = max(widest_gap, gap if matched else 0), block.end()
            position = block.start()
            for line in block[0].split("\n"):
                position += len(line) + 1
                if len(line) > _MAX_LINE_CHARS:
                    return _if_proven(table, start)
                if _COLUMNS.fullmatch(line):
                    continue
                keys = _keys_of_line(line)
                occurs_again = any(seen[key] + 1 <= remaining[key] - passed[key] for key in keys)
                if not occurs_again and any(seen[key] for key in keys):
                    return _if_proven(table, start)  # the book itself, with its first heading
                seen.update(keys)
                lines += 1
                matched += occurs_again
                unmatched = 0 if occurs_again else unmatched + 1
                if unmatched > (_MAX_UNMATCHED if matched else 1):
                    return _if_proven(table, start)
                if occurs_again:
                    table.end, table.lines, table.matched = position - 1, lines, matched
                    table.titles.append(_title_of(line))
                    if table.end > limit:
                        return table
        return _if_proven(table, start)


class _RemainingHeadings:
    """Counts the keys of possible headings after a position that only moves forward.

    Possible headings are separate paragraphs of up to three lines.

    Args:
        body: The book.
        start: The first position, at the end of a line.
    """

    def __init__(self, body: str, start: int) -> None:
        blocks = PARAGRAPH.finditer(body, start)
        self.counts = Counter(key for block in blocks for key in _keys_of_heading(block[0]))
        self._passed = PARAGRAPH.finditer(body, start)
        self._next = next(self._passed, None)

    def advance(self, start: int) -> None:
        """Subtract the paragraphs before a position and the paragraph that continues there."""
        while self._next and self._next.start() <= start + 1:
            for key in _keys_of_heading(self._next[0]):
                self.counts[key] -= 1
            self._next = next(self._passed, None)


def _page_of(line: str) -> str:
    """Return the page at the end of a line; empty if there is none."""
    if len(line) > 2 * _MAX_LINE_CHARS:
        return ""
    match = _PAGED.search(line) or (len(line) < _MAX_LINE_CHARS and _LOOSELY_PAGED.search(line))
    entry = line[: match.start()] if match else ""
    return match[1] if match and entry.strip() and not _HEADING_WORD.fullmatch(entry) else ""


def _if_proven(table: _Table, start: int) -> _Table:
    """Return the table if enough of its entries occur again, else an empty table."""
    is_proven = table.matched >= 3 and table.matched >= 0.6 * table.lines
    return table if is_proven else _Table(start)


def _keys_of_heading(block: str) -> Iterable[str]:
    """Return the keys of a paragraph's lines, and of all lines together, if it may be a heading."""
    if block.isascii() and block.isalpha() and len(block) <= _MAX_HEADING_CHARS:
        return (block.lower(),)  # most entries of the longest lists
    if len(block) > 3 * _MAX_LINE_CHARS or block.count("\n") > 2:
        return ()
    if len(block) > _MAX_HEADING_CHARS and block[-1] in ".!?\"'”’":
        return ()  # prose
    lines = block.split("\n")
    if len(lines) == 1:
        return _keys_of_line(block)
    whole = " ".join(lines).strip(" []")
    joined = _keys_of_line(_ILLUSTRATION.sub("", whole))
    return joined.union(*map(_keys_of_line, lines))


def _keys_of_line(line: str) -> set[str]:
    """Return the keys of a line: its letters and digits, with and without number and author."""
    whole = _TAG.sub("", line).strip()
    unnumbered = _NUMBER.sub("", whole, count=1)
    forms = {whole, unnumbered, _AUTHOR.split(unnumbered, maxsplit=1)[0]}
    return {key for form in forms if (key := "".join(_WORDS.findall(form.casefold())))}


def _title_of(line: str) -> str:
    title = _AUTHOR.split(_NUMBER.sub("", line.strip(), count=1), maxsplit=1)[0]
    return " ".join(title.strip(" .\t_*").split())
