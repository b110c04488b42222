"""What Project Gutenberg put around the book: licence, credits, markers."""

# ruff: noqa: RUF001 - the quotes and stops of other scripts are meant
from __future__ import annotations

import re
from dataclasses import dataclass

from raypipe.text.notes import without_notes

# The rest of a marker: up to its closing stars, on the next line too, else to the line's end.
_REST = r"(?:(?:(?!\n[ \t]*\n)[^*]){0,400}?\*{2,3}[^\n\w]{0,80}|[^\n]{0,200})"
_START = re.compile(r"\*{2,3}[ \t]*START OF (?:TH(?:IS|E) )?PROJECT GUTENBERG" + _REST, re.I)
_END = re.compile(r"\*{2,3}[ \t]*END OF (?:TH(?:IS|E) )?PROJECT GUTENBERG", re.I)
# Until about 2001 the licence stood in front, and this line ended it.
_SMALL_PRINT_END = re.compile(r"\*END[* ]{1,3}THE SMALL PRINT[^\n]{0,200}", re.I)
# "End of the Project Gutenberg EBook of X": stands before the END marker, or instead of it.
_END_LINE = re.compile(r"^[ \t*]*End of (?:the |this )?Project Gutenberg(?:['’]s)?\b", re.I | re.M)
_FULL_LICENSE = re.compile(r"^[ \t*]*START: FULL LICENSE", re.I | re.M)
_CREDIT = re.compile(
    r"\s*(?:_|\[)?(?:Produced by|E-?text (?:prepared|produced|scanned)|Transcribed (?:from|by)"
    r"|(?:This )?e-?(?:book|text) (?:was )?(?:produced|prepared|transcribed|scanned)"
    r"|Scanned (?:and|by)|Prepared by|This file was produced from|HTML version by|Credits:"
    r"|(?:Note: )?(?:Project Gutenberg (?:also )?has|Images of the original pages)"
    r"|(?:Updated|Proofread(?:ing)?|Corrected|Edited|Digitized) by"
    r"|Distributed Proofread(?:ing|ers))(?!\w)",
    re.I,
)
_GAP = re.compile(r"\n[ \t]*\n\s*")
_FRONT_PARAGRAPHS = 4


@dataclass(frozen=True, slots=True)
class Stripped:
    """A book without its boilerplate.

    Attributes:
        header: What stood before the start marker; empty if there was none.
        body: The book.
    """

    header: str
    body: str


def strip_boilerplate(text: str) -> Stripped:
    """Take away what Project Gutenberg and its transcribers put around a book.

    Licence and credits go only where a marker says that they are there; notes and errata are
    known by their own form.

    Args:
        text: The whole text, lines ended by LF.
    """
    header, body = _cut_start(text)
    body, ended = _cut_end(body)
    body = without_notes(body)
    if header or ended:
        body = _without_credits(body)
    return Stripped(header, body)


def _cut_start(text: str) -> tuple[str, str]:
    start = _START.search(text)
    if start is None:
        start = _SMALL_PRINT_END.search(text)
        # In later books the small print stands at the end: nothing is cut then.
        if start is None or start.start() > len(text) // 2:
            return "", text
    return text[: start.start()], text[start.end() :]


def _cut_end(body: str) -> tuple[str, bool]:
    """The first END counts: what follows it holds markers of its own."""
    end = _END.search(body) or _FULL_LICENSE.search(body)
    if end:
        body = body[: end.start()]
    # The line may also be quoted in a preface: it ends the book only near the end.
    for line in _END_LINE.finditer(body):
        if len(body) - line.start() < 2_000 or (end is None and line.start() > len(body) // 2):
            return body[: line.start()], True
    return body, end is not None


def _without_credits(body: str) -> str:
    body = body.strip("\n")
    for _ in range(_FRONT_PARAGRAPHS):
        if not _CREDIT.match(body):
            break
        gap = _GAP.search(body, len(body) - len(body.lstrip()))
        body = body[gap.end() :] if gap else ""
    cut = body.rstrip().rfind("\n\n")
    if cut >= 0 and _CREDIT.match(body[cut:]):
        body = body[:cut]
    return body
