"""Remove transcriber's notes and the printer's errata, which are not part of the book."""

# ruff: noqa: RUF001 - typographic quotes are intended
from __future__ import annotations

import re
from collections.abc import Iterator

_WHO = r"transcri(?:ber|bers|ption|ptor)(?:['’]s|s['’]|s)?"
_NOTE = r"(?:(?:foot|end)?notes?|remarks?|comments?|corrections?|errata)"
_NAME = rf"(?:{_WHO}[ -]+{_NOTE}|notes?\s+(?:of|by|from)\s+(?:the\s+)?(?:e-?text\s+)?{_WHO})"
_BRACKETED = re.compile(
    rf"[ \t]*\[(?:{_NAME}|tn)\b\s*[:.—-](?:[^\[\]]|\[[^\[\]]{{0,400}}\]){{0,6000}}\]", re.I
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
_PARAGRAPH = re.compile(r"[^\n]*\S[^\n]*(?:\n[^\n]*\S[^\n]*)*")
_RULE = re.compile(r"[\s*_=~+#.-]{3,}")
_MIN_GAP = 4
"""Line ends between two paragraphs (three blank lines) from which on a new part may begin."""
_BACK_SHARE = 0.8
"""After this share of a book, a note may extend to the end of the book."""
_MAX_NOTE_CHARS = 60_000
_MAX_NOTE_SHARE = 0.3
_SHORT_NOTE_CHARS = 2_000

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
    position = 0
    while heading := _HEADING.search(body, position):
        position = heading.end()
        end = _find_end_of_note(body, heading)
        # Anything longer is not a note but a part of the book with that name.
        if (heading["begun"] or heading.end() < end) and end <= heading.start() + max(
            _MAX_NOTE_SHARE * len(body), _SHORT_NOTE_CHARS
        ):
            body, position = _join_around_cut(body[: heading.start()], body[end:])
    return body


def remove_errata(body: str) -> str:
    """Remove `ERRATA` headings with the corrections below; a heading without corrections stays."""
    position = 0
    while heading := _ERRATA.search(body, position):
        end = heading.end()
        for start, stop in _paragraph_spans(body, end):
            lines = body[start:stop].split("\n")
            if 2 * sum(1 for line in lines if _CORRECTION.search(line)) < len(lines):
                break
            end = stop
        position = heading.end()
        if heading.end() < end <= heading.start() + _MAX_NOTE_CHARS:
            body, position = _join_around_cut(body[: heading.start()], body[end:])
    return body


def _find_end_of_note(body: str, heading: re.Match[str]) -> int:
    """Return the position where the note under a heading ends.

    The note includes each paragraph about pages, spellings or corrections, and a paragraph about
    something else if the next paragraph is about them. At the end of a book the note includes
    everything up to a wide gap.
    """
    at_the_end = heading.start() > _BACK_SHARE * len(body)
    end = heading_end = heading.end()
    spans = [
        (start, stop)
        for start, stop in _paragraph_spans(body, heading_end)
        if stop <= heading_end + _MAX_NOTE_CHARS
    ]
    for number, (start, stop) in enumerate(spans):
        gap = body.count("\n", end, start)
        is_separate = gap >= _MIN_GAP and (end > heading_end or heading["begun"])
        paragraph = body[start:stop]
        continues = _is_next_part_of_note(body, spans[number : number + 2])
        if _RULE.fullmatch(paragraph):
            if not continues:
                return stop if end > heading_end else end  # the rule that closes the note
        elif not (
            _NOTE_WORDING.search(paragraph) or gap < 2 or paragraph.lstrip()[:1] in ("|", "+")
        ) and (is_separate or not (at_the_end or continues)):
            break
        end = stop
    return end


def _is_next_part_of_note(body: str, spans: list[tuple[int, int]]) -> bool:
    """Return whether the second of two paragraphs is near and is worded like a note."""
    if len(spans) < 2:
        return False
    (_, stop), (start, end) = spans
    is_near = body.count("\n", stop, start) < _MIN_GAP
    return is_near and _NOTE_WORDING.search(body, start, end) is not None


def _paragraph_spans(body: str, start: int) -> Iterator[tuple[int, int]]:
    """Yield start and end of each paragraph from `start` on."""
    for match in _PARAGRAPH.finditer(body, start):
        yield match.span()


def _join_around_cut(before: str, after: str) -> tuple[str, int]:
    """Join the texts around a cut; return the text and the position where the gap begins.

    A rule at the end of the first text is removed with the note.
    """
    before = before.rstrip()
    last_line = before.rfind("\n") + 1
    if _RULE.fullmatch(before, last_line):
        before = before[:last_line].rstrip()
    rest = after.lstrip("\n")
    return f"{before}\n\n\n\n{rest}" if before and rest.strip() else before or rest, len(before)
