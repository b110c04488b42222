"""What a transcriber added to a book, and the printer's errata: no part of what it tells."""

# ruff: noqa: RUF001 - the quotes and stops of other scripts are meant
from __future__ import annotations

import re
from collections.abc import Iterator

_WHO = r"transcri(?:ber|bers|ption|ptor)(?:['’]s|s['’]|s)?"
_NOTE = r"(?:(?:foot|end)?notes?|remarks?|comments?|corrections?|errata)"
_NAME = rf"(?:{_WHO}[ -]+{_NOTE}|notes?\s+(?:of|by|from)\s+(?:the\s+)?(?:e-?text\s+)?{_WHO})"
_BRACKETED = re.compile(
    rf"[ \t]*\[(?:{_NAME}|tn)\b\s*[:.—-](?:[^\[\]]|\[[^\[\]]{{0,400}}\]){{0,6000}}\]", re.I
)
# Alone on its line, or with a colon and the note behind it; never in a sentence. Boxes of
# plus signs and bars, stars and underscores may stand around it.
_EDGE = r"[ \t|*_=~+#-]*"
_HEADING = re.compile(
    rf"^{_EDGE}\[?(?:(?:the )?{_NAME}{_EDGE}(?:[.:]{_EDGE}$|$|(?::|\.?--)(?P<begun>[^\n]*)$)"
    rf"|typographical errors corrected by (?:the )?(?:e-?text )?{_WHO}[^\n]*$)",
    re.I | re.M,
)
_SAYS_NOTE = re.compile(
    r"transcri|e-?text|\btypo|spell|hyphen|punctuat|misprint|printer['’]s error|\boriginal\b"
    r"|correct(?:ed|ion)|retained|unchanged|\bchanged\b|(?:added|removed|inserted) |=>"
    r"|\bfor\b.{1,60}\bread\b"
    r"|\bp(?:age|g|p|\.)[ .]*\d|\{pg|\bfootnotes?\b|italic|underscore|illustrations? ",
    re.I,
)
_PARAGRAPH = re.compile(r"[^\n]*\S[^\n]*(?:\n[^\n]*\S[^\n]*)*")
_RULE = re.compile(r"[\s*_=~+#.-]{3,}")
_GAP = 4
"""Line ends between paragraphs, three blank lines, from which on a new part may begin."""
_BACK = 0.8
"""Share of a book behind which a note has the rest for itself."""
_FAR = 60_000
_LONGEST_SHARE = 0.3
_SHORT_CHARS = 2_000

_ERRATA = re.compile(
    r"^[ \t*_]*(?:errata|erratum|corrigend(?:a|um))[ \t*_]*[.:]?[ \t*_]*$", re.I | re.M
)
_CORRECTION = re.compile(
    r"\b(?:page|p\.|pp\.|line|l\.|vol\.|chap\.)[ ]*[\divxlc]+\b|\bfor\b.{1,80}\bread\b|\bdele\b",
    re.I,
)


def without_notes(body: str) -> str:
    """Return a book without transcriber's notes and lists of errata, wherever they stand.

    Both are known by their own form, so a book without any marker loses them too, and nothing
    else.

    Args:
        body: The book before its lines are joined.
    """
    return without_errata(without_transcribers_notes(body))


def without_transcribers_notes(body: str) -> str:
    """Take away `[Transcriber's Note: …]` and whole notes under a heading."""
    lowered = body.lower()
    if "transcri" not in lowered and "[tn" not in lowered:
        return body  # 20 ms a megabyte spared
    body = _BRACKETED.sub("", body)
    at = 0
    while found := _HEADING.search(body, at):
        at = found.end()
        end = _end_of_note(body, found)
        # Longer ones are no note but a part of the book that is called so.
        if (found["begun"] or found.end() < end) and end <= found.start() + max(
            _LONGEST_SHARE * len(body), _SHORT_CHARS
        ):
            body, at = _joined(body[: found.start()], body[end:])
    return body


def without_errata(body: str) -> str:
    """Take away `ERRATA` and the corrections under it; a heading without any stays."""
    at = 0
    while found := _ERRATA.search(body, at):
        end = found.end()
        for start, stop in _paragraphs(body, end):
            lines = body[start:stop].split("\n")
            if 2 * sum(1 for line in lines if _CORRECTION.search(line)) < len(lines):
                break
            end = stop
        at = found.end()
        if found.end() < end <= found.start() + _FAR:
            body, at = _joined(body[: found.start()], body[end:])
    return body


def _end_of_note(body: str, found: re.Match[str]) -> int:
    """Return where the note ends that begins with the heading that was found.

    It goes on with each paragraph that speaks of pages, spellings or corrections, and with
    one that does not if the next one does; at the end of a book, with all up to a wide gap.
    """
    at_the_end = found.start() > _BACK * len(body)
    end = heading = found.end()
    spans = [(begin, stop) for begin, stop in _paragraphs(body, heading) if stop <= heading + _FAR]
    for at, (begin, stop) in enumerate(spans):
        gap = body.count("\n", end, begin)
        parted = gap >= _GAP and (end > heading or found["begun"])
        part = body[begin:stop]
        goes_on = _next_says_note(body, spans[at : at + 2])
        if _RULE.fullmatch(part):
            if not goes_on:
                return stop if end > heading else end  # the rule that closes the note
        elif not (_SAYS_NOTE.search(part) or gap < 2 or part.lstrip()[:1] in ("|", "+")) and (
            parted or not (at_the_end or goes_on)
        ):
            break
        end = stop
    return end


def _next_says_note(body: str, spans: list[tuple[int, int]]) -> bool:
    """Tell whether the second of two paragraphs is near and belongs to a note."""
    if len(spans) < 2:
        return False
    (_, stop), (begin, end) = spans
    near = body.count("\n", stop, begin) < _GAP
    return near and _SAYS_NOTE.search(body, begin, end) is not None


def _paragraphs(body: str, start: int) -> Iterator[tuple[int, int]]:
    """Yield begin and end of each paragraph from `start` on."""
    for found in _PARAGRAPH.finditer(body, start):
        yield found.span()


def _joined(before: str, after: str) -> tuple[str, int]:
    """Close the gap that a cut leaves, and its rule at the end; return where the gap begins."""
    before = before.rstrip()
    last = before.rfind("\n") + 1
    if _RULE.fullmatch(before, last):
        before = before[:last].rstrip()
    rest = after.lstrip("\n")
    return f"{before}\n\n\n\n{rest}" if before and rest.strip() else before or rest, len(before)
