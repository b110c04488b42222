"""Remove transcriber's notes and the printer's errata, which are not part of the book."""

# ruff: noqa: RUF001 - typographic quotes are intended
from __future__ import annotations

import re
from collections.abc import Iterator

from raypipe.text.cuts import PARAGRAPH, ReadingBudget, TextCuts

_WHO = r"transcri(?:ber|bers|ption|ptor)(?:['’]s|s['’]|s)?"
_NOTE = r"(?:(?:foot|end)?notes?|remarks?|comments?|corrections?|errata)"
_NAME = rf"(?:{_WHO}[ -]+{_NOTE}|notes?\s+(?:of|by|from)\s+(?:the\s+)?(?:e-?text\s+)?{_WHO})"
_BRACKETED = re.compile(
    rf"(?<![ \t])[ \t]*+\[(?:{_NAME}|tn)\b\s*[:.—-](?:[^\[\]]|\[[^\[\]]{{0,400}}\]){{0,6000}}\]",
    re.I,
)
# Alone on a line, or with a colon and the note after it; never inside a sentence. Boxes of plus
# signs and bars, stars and underscores may surround the heading.
_EDGE = r"[ \t|*_=~+#-]*"
_HEADING = re.compile(
    rf"^{_EDGE}\[?(?:(?:the )?{_NAME}{_EDGE}(?:[.:]{_EDGE}$|$|(?::|\.?--)(?P<begun>[^\n]*)$)"
    rf"|typographical errors corrected by (?:the )?(?:e-?text )?{_WHO}[^\n]*$)",
    re.I | re.M,
)
_NOTE_WORDING = re.compile(
    r"transcri|e-?text|\btypo|spell|hyphen|punctuat|misprint|printer['’]s error|\boriginal\b"
    r"|correct(?:ed|ion)|retained|unchanged|\bchanged\b|(?:added|removed|inserted) |=>"
    r"|\bfor\b.{1,60}\bread\b"
    r"|\bp(?:age|g|p|\.)[ .]*\d|\{pg|\bfootnotes?\b|italic|underscore|illustrations? ",
    re.I,
)
_RULE = re.compile(r"[\s*_=~+#.-]{3,}")
_MIN_GAP = 4
"""Line ends between two paragraphs (three blank lines) from which on a new part may begin."""
_BACK_SHARE = 0.8
"""After this share of a book, a note may extend to the end of the book."""
_MAX_NOTE_CHARS = 60_000
_MAX_NOTE_SHARE = 0.3
_SHORT_NOTE_CHARS = 2_000

_Span = tuple[int, int]

_ERRATA = re.compile(
    r"^[ \t*_]*(?:errata|erratum|corrigend(?:a|um))[ \t*_]*[.:]?[ \t*_]*$", re.I | re.M
)
_CORRECTION = re.compile(
    r"\b(?:page|p\.|pp\.|line|l\.|vol\.|chap\.)[ ]*[\divxlc]+\b|\bfor\b.{1,80}\bread\b|\bdele\b",
    re.I,
)


def remove_notes(body: str) -> str:
    """Remove transcriber's notes and lists of errata anywhere in a book.

    Both are recognized by their own form, so they are removed from books without markers too,
    and nothing else is.

    Args:
        body: The book before its lines are joined.
    """
    return remove_errata(remove_transcriber_notes(body))


def remove_transcriber_notes(body: str) -> str:
    """Remove `[Transcriber's Note: …]` and notes under a heading."""
    lowered = body.lower()
    if "transcri" not in lowered and "[tn" not in lowered:
        return body  # saves 20 ms per megabyte
    body = _BRACKETED.sub("", body)
    cuts, budget = TextCuts(body), ReadingBudget(body)
    position = 0
    while heading := _HEADING.search(body, position):
        position = heading.end()
        if budget.is_spent:
            break
        budget.start_heading()
        # Anything longer is not a note but a part of the book with that name.
        limit = heading.start() + int(max(_MAX_NOTE_SHARE * cuts.length, _SHORT_NOTE_CHARS))
        at_the_end = cuts.shortened_position(heading.start()) > _BACK_SHARE * cuts.length
        end = _find_end_of_note(body, heading, limit, budget, at_the_end=at_the_end)
        if (heading["begun"] or heading.end() < end) and end <= limit:
            cuts.cut(heading.start(), end, with_rule=True)
            budget.cut(end - heading.start())
            position = cuts.rest
    return cuts.shorten()


def remove_errata(body: str) -> str:
    """Remove `ERRATA` headings with the corrections below; a heading without corrections stays."""
    cuts, budget = TextCuts(body), ReadingBudget(body)
    position = 0
    while heading := _ERRATA.search(body, position):
        position = end = heading.end()
        if budget.is_spent:
            break
        budget.start_heading()
        limit = heading.start() + _MAX_NOTE_CHARS
        for paragraph in PARAGRAPH.finditer(body, end):
            budget.read(paragraph.end() - end)
            lines = paragraph[0].split("\n")
            if 2 * sum(1 for line in lines if _CORRECTION.search(line)) < len(lines):
                break
            end = paragraph.end()
            if end > limit:
                break
        if heading.end() < end <= limit:
            cuts.cut(heading.start(), end, with_rule=True)
            budget.cut(end - heading.start())
            position = cuts.rest
    return cuts.shorten()


def _find_end_of_note(
    body: str, heading: re.Match[str], limit: int, budget: ReadingBudget, *, at_the_end: bool
) -> int:
    """Return the position where the note under a heading ends; more than `limit` if too far.

    The note includes each paragraph about pages, spellings or corrections, and a paragraph about
    something else if the next paragraph is about them. At the end of a book the note includes
    everything up to a wide gap.

    Args:
        body: The book.
        heading: The heading.
        limit: The last position where a note may end.
        budget: Records what is read.
        at_the_end: Whether the heading is near the end of the book.
    """
    end = heading_end = heading.end()
    for (start, stop), following in _paragraph_pairs(body, heading_end, budget):
        if end > limit:
            break
        gap = body.count("\n", end, start)
        is_separate = gap >= _MIN_GAP and (end > heading_end or heading["begun"])
        paragraph = body[start:stop]
        continues = following is not None and _is_next_part_of_note(body, stop, following)
        if _RULE.fullmatch(paragraph):
            if not continues:
                return stop if end > heading_end else end  # the rule that closes the note
        elif not (
            _NOTE_WORDING.search(paragraph) or gap < 2 or paragraph.lstrip()[:1] in ("|", "+")
        ) and (is_separate or not (at_the_end or continues)):
            break
        end = stop
    return end


def _paragraph_pairs(
    body: str, start: int, budget: ReadingBudget
) -> Iterator[tuple[_Span, _Span | None]]:
    """Yield the span of each paragraph near a heading and the next span, None at the last."""
    previous: _Span | None = None
    end = start
    # Two more characters, so that a paragraph that is cut off there is too long.
    for match in PARAGRAPH.finditer(body, start, start + _MAX_NOTE_CHARS + 2):
        budget.read(match.end() - end)
        end = match.end()
        if end > start + _MAX_NOTE_CHARS:
            break
        if previous:
            yield previous, match.span()
        previous = match.span()
    if previous:
        yield previous, None


def _is_next_part_of_note(body: str, stop: int, following: _Span) -> bool:
    """Return whether the paragraph after another is near and is worded like a note."""
    start, end = following
    is_near = body.count("\n", stop, start) < _MIN_GAP
    return is_near and _NOTE_WORDING.search(body, start, end) is not None
