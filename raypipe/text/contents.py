"""Tables of contents and lists of illustrations: a book's names, not its words."""

# ruff: noqa: RUF001 - the quotes and stops of other scripts are meant
from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

_WHOSE = r"(?:of|to) (?:the )?(?:\w+ )?(?:vol(?:ume|\.)?|book|part)(?: [\w.]+)?|of vol\. \w+"
_HEADING = re.compile(
    r"^[ \t_*=]*(?:"
    rf"(?:the )?(?:table of )?contents(?: {_WHOSE})?"
    r"|(?:a )?(?:list|table) of (?:the )?(?:\w+[ -])?"
    r"(?:illustrations|plates|maps|figures|portraits|chapters|poems|stories)"
    r"|illustrations|inhalt(?:sverzeichni(?:s|ß))?|table des mati[eè]res|sommaire|[ií]ndice"
    r")[ \t_*=]*[.:]?[ \t_*=]*$",
    re.I | re.M,
)
_PICTURES = re.compile("illustrations|plates|maps|figures|portraits", re.I)
_BLOCK = re.compile(r"[^\n]*\S[^\n]*(?:\n[^\n]*\S[^\n]*)*")
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
_PROSE_CHARS = 200
_HEADING_CHARS = 120
_LONGEST_LINE = 90
_LONGEST_ENTRY = 1_500
_STRAYS = 3
"""Lines in a row that may be no entry, because the book writes that title otherwise."""
_MOST_WITHOUT = 6
"""Lines in a row without a page: names of parts, entries over several lines."""
_GAP = 4
_LONGEST_SHARE = 0.3
_SHORT_CHARS = 1_500


@dataclass(frozen=True, slots=True)
class Uncontented:
    """A book without its tables of contents.

    Attributes:
        body: The book.
        titles: What the tables named, in order, without numbers and pages.
    """

    body: str
    titles: tuple[str, ...]


def without_contents(body: str) -> Uncontented:
    """Take away each table of contents and list of illustrations whose entries prove it.

    An entry has a page at its end, or its words come again later as a line of their own. So
    a heading CONTENTS alone takes nothing away, and the book's own first heading, which
    comes for the last time, ends the table.

    Args:
        body: The book before its lines are joined.
    """
    titles: list[str] = []
    at = 0
    while found := _HEADING.search(body, at):
        at = found.end()
        run = _walk(body, found.end())
        if run.end - found.start() > max(_LONGEST_SHARE * len(body), _SHORT_CHARS):
            continue
        if run.end > found.end():
            titles += [] if _PICTURES.search(found[0]) else run.titles
            before = body[: found.start()].rstrip()
            rest = body[run.end :].lstrip("\n")
            body, at = f"{before}\n\n\n\n{rest}" if before else rest, len(before)
    return Uncontented(body, tuple(dict.fromkeys(titles)))


@dataclass(slots=True)
class _Run:
    """What was read of a table: where it ends, and what proves it."""

    end: int
    paged: int = 0
    matched: int = 0
    lines: int = 0
    pages: list[int] = field(default_factory=list)
    titles: list[str] = field(default_factory=list)


def _walk(body: str, start: int) -> _Run:
    """Read the table behind a heading; `end` is `start` if it is none."""
    paged = _walk_pages(body, start)
    if paged.end > start:
        return paged
    return _walk_repeated(body, start)


def _walk_pages(body: str, start: int) -> _Run:
    """Read a table with page numbers: it ends with the last number before the prose."""
    run, loose, without = _Run(start), 0, 0
    for at, line, gap in _short_lines(body, start):
        page = _page(line)
        if gap >= _GAP and without and not run.paged:
            break  # names without pages, and then the book
        if gap >= _GAP and run.paged and not _PAGED.search(line):
            without += 1  # more likely a title page than an entry over two lines
        if not page:
            without += 1
            if without > _MOST_WITHOUT:
                break
            continue
        number = int(page) if page.isdigit() else 0
        if without >= _STRAYS and run.pages and number < run.pages[-1]:
            break  # a poem's line numbers
        loose += not _PAGED.search(line)
        run.pages += [number] if number else []
        run.titles.append(_title(_LOOSELY_PAGED.sub("", _PAGED.sub("", line))))
        run.paged, run.end, without = run.paged + 1, at + len(line), 0
    rising = sum(one <= two for one, two in pairwise(run.pages))
    in_order = rising >= 0.8 * (len(run.pages) - 1)
    enough = run.paged >= 3 and in_order if 2 * loose > run.paged else run.paged >= 2
    return run if enough else _Run(start)


def _short_lines(body: str, start: int) -> Iterator[tuple[int, str, int]]:
    """Yield place and text of each line up to the first prose, with the line ends before it."""
    end = start
    for block in _BLOCK.finditer(body, start):
        lines = block[0].split("\n")
        limit = _LONGEST_ENTRY if any(map(_page, lines)) else _PROSE_CHARS
        if len(block[0]) > limit and not _page(lines[-1]):
            return
        at, gap = block.start(), body.count("\n", end, block.start())
        for line in lines:
            yield at, line, gap
            at, gap = at + len(line) + 1, 1
        end = block.end()


def _page(line: str) -> str:
    """Return the page that a line ends with; empty if it ends with none."""
    if len(line) > 2 * _LONGEST_LINE:
        return ""
    found = _PAGED.search(line) or (len(line) < _LONGEST_LINE and _LOOSELY_PAGED.search(line))
    entry = line[: found.start()] if found else ""
    return found[1] if found and entry.strip() and not _HEADING_WORD.fullmatch(entry) else ""


def _walk_repeated(body: str, start: int) -> _Run:
    """Read a table without numbers: all but a few of its lines come again later."""
    later = _headings(body, start)
    seen: Counter[str] = Counter()
    run, strays, end, widest = _Run(start), 0, start, 0
    lines = matched = 0
    for block in _BLOCK.finditer(body, start):
        gap = body.count("\n", end, block.start())
        if _may_be_heading(block[0]):
            later.subtract(_keys_of_block(block[0]))
        if end > start and gap >= _GAP and gap > widest and matched >= 3:
            break
        widest, end = max(widest, gap if matched else 0), block.end()
        at = block.start()
        for line in block[0].split("\n"):
            at += len(line) + 1
            if len(line) > _LONGEST_LINE:
                return _proven(run, start)
            if _COLUMNS.fullmatch(line):
                continue
            keys = _keys(line)
            again = any(0 < seen[key] + 1 <= later[key] for key in keys)
            if not again and any(seen[key] for key in keys):
                return _proven(run, start)  # the book itself, with its first heading
            seen.update(keys)
            lines += 1
            matched += again
            strays = 0 if again else strays + 1
            if strays > (_STRAYS if matched else 1):
                return _proven(run, start)
            if again:
                run.end, run.lines, run.matched = at - 1, lines, matched
                run.titles.append(_title(line))
    return _proven(run, start)


def _proven(run: _Run, start: int) -> _Run:
    return run if run.matched >= 3 and run.matched >= 0.6 * run.lines else _Run(start)


def _headings(body: str, start: int) -> Counter[str]:
    """Count what stands alone, as headings do: the lines of paragraphs of up to three."""
    count: Counter[str] = Counter()
    for block in _BLOCK.finditer(body, start):
        if _may_be_heading(block[0]):
            count.update(_keys_of_block(block[0]))
    return count


def _may_be_heading(block: str) -> bool:
    prose = len(block) > _HEADING_CHARS and block[-1] in ".!?\"'”’"
    return block.count("\n") < 3 and len(block) <= 3 * _LONGEST_LINE and not prose


def _keys_of_block(block: str) -> list[str]:
    """Return the keys of a heading's lines, and of all of them together."""
    lines = block.split("\n")
    whole = " ".join(lines).strip(" []")
    joined = _keys(re.sub(r"^illustration:?", "", whole, flags=re.I)) if len(lines) > 1 else set()
    return [*joined.union(*map(_keys, lines))]


def _keys(line: str) -> set[str]:
    """Return what a line is known by: all its letters and digits, without its number or author."""
    line = re.sub(r"^\s*\[?illustration:", "", line, flags=re.I)
    bare = _NUMBER.sub("", line.strip(), count=1)
    forms = (line, bare, _AUTHOR.split(bare)[0])
    return {key for form in forms if (key := "".join(_WORDS.findall(form.casefold())))}


def _title(line: str) -> str:
    """Return an entry without its number, dots and author."""
    bare = _AUTHOR.split(_NUMBER.sub("", line.strip(), count=1))[0]
    return " ".join(bare.strip(" .\t_*").split())
