"""Remove what Project Gutenberg and other libraries put around a book: licenses, markers, notes."""

# ruff: noqa: RUF001 - typographic quotes are intended
from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from raypipe.text.aozora import is_aozora, strip_aozora
from raypipe.text.cuts import PARAGRAPH
from raypipe.text.frames import remove_frames
from raypipe.text.transcriber_notes import remove_notes

# The rest of a marker: up to its closing stars, on the next line too, else to the line's end.
_REST = r"(?:(?:(?!\n[ \t]*\n)[^*]){0,400}?\*{2,3}[^\n\w]{0,80}|[^\n]{0,200})"
_GUTENBERG = r"(?:projec?t|projekt|projet|proyecto|progetto|projec?to)[ -]gutenberg"
_START = re.compile(
    rf"\*{{2,3}}[ \t]*START OF (?:TH(?:IS|E) )?(?:COPYRIGHTED )?{_GUTENBERG}" + _REST, re.I
)
_END = re.compile(rf"\*{{2,3}}[ \t]*END OF (?:TH(?:IS|E) )?(?:COPYRIGHTED )?{_GUTENBERG}", re.I)
# Looked for if there are none of the usual form, which are found ten times as fast.
_RARE_START = re.compile(
    r"^[ \t]*(?:[*=-]*[ \t]*(?:START|BEGINNING|BEGIN) OF(?: THIS| THE)?(?: COPYRIGHTED)?"
    r"|\*{2,3}[ \t]*(?:D[ÉE]BUT|ANFANG|BEGINN|IN[IÍ]CIO|INIZIO|BEGIN|START|ALKU)(?: \w{1,9}){0,2})"
    rf" {_GUTENBERG}" + _REST,
    re.I | re.M,
)
_RARE_END = re.compile(
    r"^[ \t]*\*{2,3}[ \t]*(?:FIN|ENDE|FINE|FIM|EINDE|SLUT|LOPPU)(?: \w{1,9}){0,2}"
    rf" {_GUTENBERG}",
    re.I | re.M,
)
# Until about 2001 the license came before the book and ended with this line.
_SMALL_PRINT_END = re.compile(r"\*END[* ]{1,3}THE SMALL PRINT[^\n]{0,200}", re.I)
# "End of the Project Gutenberg EBook of X": comes before the END marker, or instead of it.
_NAMES = ("Gutenberg", "GUTENBERG", "gutenberg")
_MAX_END_LINE = 60
_END_LINE = re.compile(
    r"^[ \t*]*(?:(?:The )?End of (?:the |this |this is )?(?:COPYRIGHTED )?"
    r"|Ende (?:dieses |des |diese )?"
    r"|Fin (?:de |du |del |de la |de ce |de este )?|Fine (?:di |del |di questo )?"
    r"|Fim (?:do |de |deste )?|Einde van (?:het |dit )?|Slut på |Slutet på "
    r"|Slutningen (?:af|på) |Finis )"
    rf"{_GUTENBERG}(?:['’]?s)?\b"
    rf"|^[ \t*]*(?:A |Az )?{_GUTENBERG}[^\n]{{1,120}}\b"
    r"(?:loppu|vége|lõpp|beigas|pabaiga|konec|sonu)[ \t*.]*$",
    re.I | re.M,
)
_NEXT_WORK = re.compile(
    rf"^[ \t*]*(?:The |This is the )?{_GUTENBERG}(?:['’]s)? (?:e-?text|e-?book) (?:of|,)",
    re.I | re.M,
)
# The works of a collection are separated by it.
_BLURB = re.compile(r"<<\s{0,9}THIS ELECTRONIC VERSION OF[^<>]{0,3000}>>", re.I)
_END_OF_BOOK = re.compile(r"^[ \t]*\[End of [^\[\]\n]{1,200}(?:\n[^\[\]\n]{1,200})?\][ \t]*$", re.M)
# What only paragraphs of a header or of the small print have.
_HEADER_SIGN = re.compile(rf"{_GUTENBERG}|distributed proofreaders canada|\bfaded ?page\b", re.I)
_HEADER_WORDS = re.compile(
    rf"{_GUTENBERG}|\be-?texts?\b|plain vanilla|small print|copyright laws|carefully chosen to"
    r"|important information in this header|should be named|public domain in the US"
    r"|illinois benedictine|carnegie[ -]mellon|michael (?:s\. )?hart|million dollars"
    r"|\[this file was|e(?:book|text)[ ,]{1,3}(?:no\.|#)|distributed proofreaders canada"
    r"|faded ?page|made available at no cost|public domain in canada|gutenberg\.(?:ca|net|org)"
    r"|canadian public domain|under copyright in some countries"
    r"|^[ \t]*(?:title|author|editor|translator|illustrator|language|release date|posting date"
    r"|edition|character set encoding|credits|date (?:of )?first (?:posted|publication)"
    r"|date (?:last|most recently) updated|edition used as base[\w ]{0,40}|original publication"
    r"|this e-?book was produced by|produced by|copyright|e-?book no\.?):",
    re.I | re.M,
)
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
_MARKER_WORDS = (
    "gutenberg", "small print", "full license", "proofreaders canada", "faded page",
)  # fmt: skip
_GAP = re.compile(r"\n[ \t]*\n\s*")
_MAX_CREDIT_PARAGRAPHS = 4
_TOP_CHARS, _SIGN_CHARS, _MAX_FOREIGN_CHARS = 40_000, 1_500, 2_500
"""Characters of the longest header, of the part that names the project, and between two
paragraphs that are worded as parts of a header."""
_MIN_HEADER_PARAGRAPHS = 2
_TAIL_CHARS, _MAX_TAIL_PARAGRAPH = 3_000, 600
_MIN_WORK_CHARS = 300
_GAP_BETWEEN_WORKS = "\n\n\n\n"


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
    if is_aozora(text):
        header, body = strip_aozora(text)
        return StrippedText(header, body)
    header, body, has_end = "", text, False
    if _has_marker(text):
        header, body = _split_at_start(text)
        body, has_end = _cut_at_end(body)
        if "<<" in body:
            body = _BLURB.sub("", body)
    body = remove_notes(remove_frames(body))
    if header or has_end:
        body = _remove_credits(body)
    return StrippedText(header, body)


def _has_marker(text: str) -> bool:
    """Whether one of the markers may be in the text; much faster than to look for each."""
    lowered = text.lower()
    return any(words in lowered for words in _MARKER_WORDS)


def _split_at_start(text: str) -> tuple[str, str]:
    start = _START.search(text) or _RARE_START.search(text)
    if start is None:
        start = _SMALL_PRINT_END.search(text)
        # Later books have the small print at the end: the header has no mark at its end then.
        if start is None or start.start() > len(text) // 2:
            return _split_by_wording(text)
    return text[: start.start()], text[start.end() :]


def _split_by_wording(text: str) -> tuple[str, str]:
    """Split a text without a start marker after the last paragraph worded like a header."""
    if not _HEADER_SIGN.search(text[:_SIGN_CHARS]):
        return "", text
    end, count = _find_end_of_header(text, 0)
    is_header = count >= _MIN_HEADER_PARAGRAPHS and end < len(text) // 2
    return (text[:end], text[end:]) if is_header else ("", text)


def _find_end_of_header(text: str, start: int) -> tuple[int, int]:
    """Return the end of the last paragraph that is worded like a header, and their number."""
    end, count = start, 0
    for paragraph in PARAGRAPH.finditer(text, start, start + _TOP_CHARS):
        if paragraph.start() - end > _MAX_FOREIGN_CHARS:
            break
        if len(paragraph[0]) < _MAX_FOREIGN_CHARS and _HEADER_WORDS.search(paragraph[0]):
            end, count = paragraph.end(), count + 1
    return end, count


def _cut_at_end(body: str) -> tuple[str, bool]:
    """Return the body up to its end marker, and whether there is an end marker.

    The first END marker counts: the text after it contains markers too. In a file of several
    works, each with its own markers, the texts between them are removed.
    """
    works: list[str] = []
    has_end, position = False, 0
    while end := _END.search(body, position) or _RARE_END.search(body, position):
        works.append(body[position : end.start()])
        has_end = True
        start = _START.search(body, end.end())
        if start is None or len(body) - start.end() < _MIN_WORK_CHARS:
            break
        position = start.end()
    else:
        license_ = _FULL_LICENSE.search(body, position)
        works.append(body[position : license_.start() if license_ else len(body)])
        has_end = has_end or license_ is not None
    cut = [_cut_at_end_line(work, has_end=has_end) for work in works]
    texts = [work.strip("\n") for work, _ in cut] if len(cut) > 1 else [cut[0][0]]
    return _cut_tail(_GAP_BETWEEN_WORKS.join(texts)), has_end or any(found for _, found in cut)


def _cut_at_end_line(work: str, *, has_end: bool) -> tuple[str, bool]:
    """Cut at a line such as "End of Project Gutenberg's …".

    A preface may quote the line: it ends the book only near the end. The header of another work
    may follow it: then the text from the line to the end of that header is removed.
    """
    kept: list[str] = []
    rest = 0
    for position in _positions(work, _NAMES):
        line = work.rfind("\n", max(0, position - _MAX_END_LINE), position) + 1
        if line < rest or (not line and position > _MAX_END_LINE):
            continue
        if not _END_LINE.match(work, line):
            continue
        if _NEXT_WORK.search(work, line, line + _MAX_FOREIGN_CHARS):
            kept.append(work[rest:line].strip("\n"))
            rest, _ = _find_end_of_header(work, line)
        elif len(work) - line < 2_000 or (not has_end and line > len(work) // 2):
            return _GAP_BETWEEN_WORKS.join([*kept, work[rest:line]]), True
    return _GAP_BETWEEN_WORKS.join([*kept, work[rest:]]), bool(kept)


def _positions(text: str, words: Iterable[str]) -> list[int]:
    """Return the positions of words in order; ten times as fast as a pattern."""
    found: list[int] = []
    for word in words:
        position = text.find(word)
        while position >= 0:
            found.append(position)
            position = text.find(word, position + len(word))
    return sorted(found)


def _cut_tail(body: str) -> str:
    """Cut `[End of X, by Y]` and last paragraphs that name the project."""
    for end in _END_OF_BOOK.finditer(body, max(0, len(body) - _TAIL_CHARS)):
        return body[: end.start()]
    for _ in range(_MAX_CREDIT_PARAGRAPHS):
        cut = body.rstrip().rfind("\n\n", max(0, len(body) - _TAIL_CHARS))
        if cut < 0 or len(body) - cut > _MAX_TAIL_PARAGRAPH or not _HEADER_SIGN.search(body, cut):
            break
        body = body[:cut]
    return body


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
