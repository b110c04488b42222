"""A book in parts that a model takes in one call: along its chapters, even in size, never lost."""

# ruff: noqa: RUF001, RUF002 - the quotes and stops of other scripts are meant
from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import accumulate

from raypipe.core.errors import BookError
from raypipe.text import CleanText

CHUNKS_VERSION = 1
"""Raise it when the same text gives other chunks; it is part of the summary recipe."""

LEAST_BYTES = 200
"""A smaller target makes no sense: what is said of so little is longer than it."""

_TINY = 8
"""A chapter of less than this part of a chunk (a title page, a dedication) joins any neighbor."""
_SLACK = 0.15
"""A cut may lie this share of a chunk before or behind the even place."""
_ROOM = 1.25
"""A chunk may be this much larger than the target, for a cut at a good place."""
_WIDEST_CHAR = 4  # bytes in UTF-8

_PARAGRAPH = re.compile(r"\n\n+")
# Three letters or a digit before the stop, no title: not `Mr. Ash`, `J. R.`, `Mrs. Lee`. Chinese
# and Japanese have no space behind it.
_TITLES = "".join(rf"(?<!\b{title})" for title in ("Mrs", "Rev", "Gen", "Col", "Hon", "Mme"))
_SENTENCE = re.compile(
    rf"(?:(?<=[^\W_]{{3}})|(?<=\d)){_TITLES}[.!?…]+[\"'”’»)\]]*\s+|[。！？]+[」』”’）]*\s*"
)
_SPACE = re.compile(r"\s+")
_BREAKS = (_PARAGRAPH, _SENTENCE, _SPACE)


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of a book.

    Attributes:
        text: What stands there, white space included: all chunks together are the book.
        heading: The headings of the chapters that begin in it or reach into it.
        start: Position of its first character in the book.
    """

    text: str
    heading: str
    start: int

    @property
    def end(self) -> int:
        """Position behind its last character in the book."""
        return self.start + len(self.text)


@dataclass(frozen=True, slots=True)
class _Span:
    start: int
    end: int
    titles: tuple[str, ...]

    @property
    def size(self) -> int:
        return self.end - self.start


def split(book: CleanText, target: int, most: int, max_chunks: int) -> tuple[Chunk, ...]:
    """Return a book's chunks, none empty; the same text and numbers always give the same.

    A chapter is cut into the fewest even parts that meet the target. A chunk reaches across
    the end of a chapter only where two neighbors fit into one chunk and one of them is less
    than half of it, or where one is tiny. A book with more than `max_chunks` gets larger
    chunks, up to `most`.

    Args:
        book: A book with at least one character.
        target: Bytes (UTF-8) that a chunk should have; it may have a quarter more.
        most: Bytes that it must not pass; at least `LEAST_BYTES`.
        max_chunks: Most chunks of a book.

    Raises:
        BookError: `too_large`: too many chunks, even if each is as large as allowed.
    """
    data = book.text.encode()
    widest = int(most / _ROOM)
    wanted = max(min(target, widest), 1)
    while True:
        spans = [
            part for section in _sections(book, wanted) for part in _cut(data, section, wanted)
        ]
        if len(spans) <= max_chunks:
            return tuple(_chunks(data, spans))
        if wanted >= widest:
            raise BookError(
                "too_large",
                f"{len(spans):,} parts of up to {most:,} bytes, more than"
                f" max_chunks={max_chunks:,}; raise summarizer.max_chunks or"
                " summarizer.context_tokens",
            )
        wanted = min(widest, math.ceil(wanted * max(1.1, len(spans) / max_chunks)))


def halves(chunk: Chunk) -> tuple[Chunk, Chunk] | None:
    """Return a chunk in two, cut as `split` does; None if there is nothing to cut."""
    data = chunk.text.encode()
    if len(chunk.text) < 2:
        return None
    whole = _Span(0, len(data), (chunk.heading,))
    target = max(math.ceil(len(data) / 2), 1)
    parts = list(_chunks(data, list(_cut(data, whole, target)), chunk.start))
    return (parts[0], parts[1]) if len(parts) == 2 else None


def _sections(book: CleanText, target: int) -> list[_Span]:
    """Return the chapters, small neighbors joined as long as they fit into one chunk."""
    packed: list[_Span] = []
    for chapter in _chapters(book):
        last = packed[-1] if packed else None
        if last and _fit(last.size, chapter.size, target):
            packed[-1] = _joined(last, chapter)
        else:
            packed.append(chapter)
    sections: list[_Span] = []
    for one in packed:
        # What is tiny and found no room, between long chapters, lengthens one of them a little.
        if sections and min(one.size, sections[-1].size) * _TINY < target:
            sections[-1] = _joined(sections[-1], one)
        else:
            sections.append(one)
    return sections


def _fit(one: int, other: int, target: int) -> bool:
    return min(one, other) * 2 < target and one + other <= target


def _joined(one: _Span, other: _Span) -> _Span:
    return _Span(one.start, other.end, (*one.titles, *other.titles))


def _chapters(book: CleanText) -> Iterator[_Span]:
    """Yield the chapters by bytes; the whole book if it has none."""
    if not book.chapters:
        yield _Span(0, len(book.text.encode()), ())
        return
    texts = (book.text[one.start : one.end] for one in book.chapters)
    ends = list(accumulate(len(text.encode()) for text in texts))
    for chapter, start, end in zip(book.chapters, [0, *ends], ends, strict=False):
        yield _Span(start, end, (chapter.title,) if chapter.title else ())


def _cut(data: bytes, span: _Span, target: int) -> Iterator[_Span]:
    """Yield the fewest even parts of a span that meet the target, each at most `_ROOM` of it."""
    most = max(int(target * _ROOM), target + _WIDEST_CHAR)
    parts = max(1, math.ceil(span.size / target))
    start = span.start
    for left in range(parts, 1, -1):
        even = (span.end - start) / left
        # A cut any earlier would leave more than the parts behind it can hold.
        early = span.end - (left - 1) * (most - _WIDEST_CHAR)
        low = max(math.ceil(start + even * (1 - _SLACK)), early, start + 1)
        high = min(int(start + even * (1 + _SLACK)), start + most, span.end - 1)
        cut = _best_cut(data, low, max(low, high), start + even)
        if not start < cut < span.end:
            break
        yield _Span(start, cut, span.titles)
        start = cut
    yield _Span(start, span.end, span.titles)


def _best_cut(data: bytes, low: int, high: int, even: float) -> int:
    """Return the place in [low, high] that is best to cut at, nearest to the even one."""
    low, high = _char_start(data, low), _char_start(data, high)
    # What is before `low` must be seen, too: a paragraph's end may begin there.
    begin = _char_start(data, max(0, low - 64))
    window = data[begin:high].decode()
    for kind in _BREAKS:
        places = (begin + _bytes(window, found.end()) for found in kind.finditer(window))
        if usable := [place for place in places if low <= place <= high]:
            return min(usable, key=_distance_from(even))
    return max(low, min(high, _char_start(data, int(even))))


def _distance_from(even: float) -> Callable[[int], tuple[float, int]]:
    return lambda place: (abs(place - even), place)


def _bytes(text: str, chars: int) -> int:
    return chars if text.isascii() else len(text[:chars].encode())


def _char_start(data: bytes, at: int) -> int:
    """Return the first position from `at` on where a character begins."""
    while at < len(data) and data[at] & 0xC0 == 0x80:  # a byte inside a character (RFC 3629)
        at += 1
    return at


def _chunks(data: bytes, spans: list[_Span], start: int = 0) -> Iterator[Chunk]:
    for span in spans:
        text = data[span.start : span.end].decode()
        yield Chunk(text, _heading(span.titles), start)
        start += len(text)


def _heading(titles: tuple[str, ...]) -> str:
    """Return one heading for the chapters of a chunk: `CHAPTER I – CHAPTER IV` for several."""
    named = [title for title in titles if title]
    if len(named) > 1:
        return f"{named[0]} – {named[-1]}"
    return named[0] if named else ""
