"""Remove the Project Gutenberg boilerplate: license, markers, credits and notes."""

# ruff: noqa: RUF001 - typographic quotes are intended
from __future__ import annotations

import re
from dataclasses import dataclass

from raypipe.text.transcriber_notes import remove_notes

# The rest of a marker: up to its closing stars, on the next line too, else to the line's end.
_REST = r"(?:(?:(?!\n[ \t]*\n)[^*]){0,400}?\*{2,3}[^\n\w]{0,80}|[^\n]{0,200})"
_START = re.compile(r"\*{2,3}[ \t]*START OF (?:TH(?:IS|E) )?PROJECT GUTENBERG" + _REST, re.I)
_END = re.compile(r"\*{2,3}[ \t]*END OF (?:TH(?:IS|E) )?PROJECT GUTENBERG", re.I)
# Until about 2001 the license came before the book and ended with this line.
_SMALL_PRINT_END = re.compile(r"\*END[* ]{1,3}THE SMALL PRINT[^\n]{0,200}", re.I)
# "End of the Project Gutenberg EBook of X": comes before the END marker, or instead of it.
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
_MAX_CREDIT_PARAGRAPHS = 4


@dataclass(frozen=True, slots=True)
class StrippedText:
    """A book without its boilerplate.

    Attributes:
        header: The text before the start marker; empty if there is no start marker.
        body: The book.
    """

    header: str
    body: str


def strip_boilerplate(text: str) -> StrippedText:
    """Remove the texts that Project Gutenberg and its transcribers put around a book.

    License and credits are removed only if a marker shows that they are there. Notes and errata
    are recognized by their own form.

    Args:
        text: The whole text with LF line ends.
    """
    header, body, has_end = "", text, False
    if _has_marker(text):
        header, body = _split_at_start(text)
        body, has_end = _cut_at_end(body)
    body = remove_notes(body)
    if header or has_end:
        body = _remove_credits(body)
    return StrippedText(header, body)


def _has_marker(text: str) -> bool:
    """Whether one of the markers may be in the text; much faster than to look for each."""
    lowered = text.lower()
    return any(words in lowered for words in ("gutenberg", "small print", "full license"))


def _split_at_start(text: str) -> tuple[str, str]:
    start = _START.search(text)
    if start is None:
        start = _SMALL_PRINT_END.search(text)
        # Later books have the small print at the end: nothing is cut then.
        if start is None or start.start() > len(text) // 2:
            return "", text
    return text[: start.start()], text[start.end() :]


def _cut_at_end(body: str) -> tuple[str, bool]:
    """Return the body up to its end marker, and whether there is an end marker.

    The first END marker counts: the text after it contains markers too.
    """
    end = _END.search(body) or _FULL_LICENSE.search(body)
    if end:
        body = body[: end.start()]
    # A preface may quote the end line: it ends the book only near the end.
    for line in _END_LINE.finditer(body):
        if len(body) - line.start() < 2_000 or (end is None and line.start() > len(body) // 2):
            return body[: line.start()], True
    return body, end is not None


def _remove_credits(body: str) -> str:
    body = body.strip("\n")
    for _ in range(_MAX_CREDIT_PARAGRAPHS):
        if not _CREDIT.match(body):
            break
        gap = _GAP.search(body, len(body) - len(body.lstrip()))
        body = body[gap.end() :] if gap else ""
    cut = body.rstrip().rfind("\n\n")
    if cut >= 0 and _CREDIT.match(body[cut:]):
        body = body[:cut]
    return body
