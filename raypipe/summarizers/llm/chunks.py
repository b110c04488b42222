"""Cut a book into chunks that fit into one model call: along its chapters and even in size."""

# ruff: noqa: RUF001, RUF002 - typographic quotes and dashes are intended
from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from raypipe.core.errors import BookError
from raypipe.text import CleanText

CHUNKS_VERSION = 1
"""Part of the summary recipe. Raise it when the same text gives different chunks."""

MIN_CHUNK_BYTES = 200
"""Minimum target size: a summary of less text would be longer than the text."""

_TINY_FRACTION = 8
"""A chapter shorter than a chunk divided by this (a title page, a dedication) joins a neighbor."""
_CUT_SLACK = 0.15
"""A cut may be this share of a chunk before or after the even position."""
_MAX_GROWTH = 1.25
"""A chunk may be this much larger than the target, for a cut at a good position."""
_MAX_CHAR_BYTES = 4  # bytes of a character in UTF-8

_PARAGRAPH_END = re.compile(r"\n\n+")
# Three letters or a digit before the stop, and no title: not `Mr. Ash`, `J. R.`, `Mrs. Lee`.
# Chinese and Japanese have no space after the stop.
_TITLES = "".join(rf"(?<!\b{title})" for title in ("Mrs", "Rev", "Gen", "Col", "Hon", "Mme"))
_SENTENCE_END = re.compile(
    rf"(?:(?<=[^\W_]{{3}})|(?<=\d)){_TITLES}[.!?…]+[\"'”’»)\]]*\s+|[。！？]+[」』”’）]*\s*"
)
_SPACE = re.compile(r"\s+")
_BREAKS = (_PARAGRAPH_END, _SENTENCE_END, _SPACE)


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of a book.

    Attributes:
        text: The text with all its white space: all chunks together are the book.
        heading: The headings of the chapters that the chunk begins or continues.
        start: Position of its first character in the book.
    """

    text: str
    heading: str
    start: int

    @property
    def end(self) -> int:
        """Position after its last character in the book."""
        return self.start + len(self.text)


@dataclass(frozen=True, slots=True)
class _ByteSpan:
    """A span of the book's UTF-8 bytes, and the titles of its chapters."""

    start: int
    end: int
    titles: tuple[str, ...]

    @property
    def size(self) -> int:
        return self.end - self.start


def split_into_chunks(
    book: CleanText, target_bytes: int, max_bytes: int, max_chunks: int
) -> tuple[Chunk, ...]:
    """Return a book's chunks, none empty; the same text and numbers always give the same chunks.

    A chapter is cut into the fewest even parts that meet the target. A chunk extends over the
    end of a chapter only if two neighbors fit into one chunk and one of them is less than half
    of it, or if one is tiny. A book with more than `max_chunks` gets larger chunks, up to
    `max_bytes`.

    Args:
        book: A book with at least one character.
        target_bytes: Target size of a chunk in UTF-8 bytes; a chunk may be a quarter larger.
        max_bytes: Maximum size of a chunk in UTF-8 bytes; at least `MIN_CHUNK_BYTES`.
        max_chunks: Maximum number of chunks.

    Raises:
        BookError: `too_large`: too many chunks, even if each is as large as allowed.
    """
    data = book.text.encode()
    max_target = int(max_bytes / _MAX_GROWTH)
    target = max(min(target_bytes, max_target), 1)
    while True:
        spans = [
            part
            for section in _group_chapters(book, target)
            for part in _cut_evenly(data, section, target)
        ]
        if len(spans) <= max_chunks:
            return tuple(_chunks_of(data, spans))
        if target >= max_target:
            raise BookError(
                "too_large",
                f"{len(spans):,} parts of up to {max_bytes:,} bytes, more than"
                f" max_chunks={max_chunks:,}; raise summarizer.max_chunks or"
                " summarizer.context_tokens",
            )
        target = min(max_target, math.ceil(target * max(1.1, len(spans) / max_chunks)))


def split_in_half(chunk: Chunk) -> tuple[Chunk, Chunk] | None:
    """Return the two halves of a chunk, cut as by `split_into_chunks`; None if too short."""
    data = chunk.text.encode()
    if len(chunk.text) < 2:
        return None
    whole = _ByteSpan(0, len(data), (chunk.heading,))
    target = max(math.ceil(len(data) / 2), 1)
    halves = list(_chunks_of(data, list(_cut_evenly(data, whole, target)), chunk.start))
    return (halves[0], halves[1]) if len(halves) == 2 else None


def label_chunks(chunks: Sequence[Chunk]) -> list[Chunk]:
    """Give each chunk a unique heading: `Part 3` if it has none, `CHAPTER I (2)` if repeated."""
    counts: Counter[str] = Counter()
    labeled = []
    for number, chunk in enumerate(chunks, start=1):
        heading = " ".join(chunk.heading.split()) or f"Part {number}"
        counts[heading] += 1
        count = counts[heading]
        labeled.append(replace(chunk, heading=f"{heading} ({count})" if count > 1 else heading))
    return labeled


def _group_chapters(book: CleanText, target: int) -> list[_ByteSpan]:
    """Return the chapters, with small neighbors joined while they fit into one chunk."""
    groups: list[_ByteSpan] = []
    for chapter in _chapter_spans(book):
        last = groups[-1] if groups else None
        if last and _may_share_chunk(last.size, chapter.size, target):
            groups[-1] = _join_spans(last, chapter)
        else:
            groups.append(chapter)
    sections: list[_ByteSpan] = []
    for group in groups:
        # A tiny group between long chapters fits nowhere: it makes a neighbor a little longer.
        if sections and min(group.size, sections[-1].size) * _TINY_FRACTION < target:
            sections[-1] = _join_spans(sections[-1], group)
        else:
            sections.append(group)
    return sections


def _may_share_chunk(size: int, next_size: int, target: int) -> bool:
    return min(size, next_size) * 2 < target and size + next_size <= target


def _join_spans(first: _ByteSpan, second: _ByteSpan) -> _ByteSpan:
    titles = (*first.titles, *second.titles)
    # Only the first and the last title are in the heading of a chunk.
    return _ByteSpan(
        first.start, second.end, titles if len(titles) < 3 else (titles[0], titles[-1])
    )


def _chapter_spans(book: CleanText) -> Iterator[_ByteSpan]:
    """Yield the byte spans of the chapters; of the whole book if it has no chapters."""
    if not book.chapters:
        yield _ByteSpan(0, len(book.text.encode()), ())
        return
    texts = (book.text[chapter.start : chapter.end] for chapter in book.chapters)
    ends = list(accumulate(len(text.encode()) for text in texts))
    for chapter, start, end in zip(book.chapters, [0, *ends], ends, strict=False):
        yield _ByteSpan(start, end, (chapter.title,) if chapter.title else ())


def _cut_evenly(data: bytes, span: _ByteSpan, target: int) -> Iterator[_ByteSpan]:
    """Yield the fewest even parts of a span that meet the target.

    Each part is at most `_MAX_GROWTH` times the target.
    """
    max_size = max(int(target * _MAX_GROWTH), target + _MAX_CHAR_BYTES)
    parts = max(1, math.ceil(span.size / target))
    start = span.start
    for parts_left in range(parts, 1, -1):
        even_size = (span.end - start) / parts_left
        # An earlier cut would leave more than the following parts can hold.
        earliest = span.end - (parts_left - 1) * (max_size - _MAX_CHAR_BYTES)
        low = max(math.ceil(start + even_size * (1 - _CUT_SLACK)), earliest, start + 1)
        high = min(int(start + even_size * (1 + _CUT_SLACK)), start + max_size, span.end - 1)
        cut = _find_cut(data, low, max(low, high), start + even_size)
        if not start < cut < span.end:
            break
        yield _ByteSpan(start, cut, span.titles)
        start = cut
    yield _ByteSpan(start, span.end, span.titles)


def _find_cut(data: bytes, low: int, high: int, even_cut: float) -> int:
    """Return the best position in [low, high] for a cut: a good break, nearest to the even one."""
    low, high = _char_start(data, low), _char_start(data, high)
    # Include some text before `low`: the end of a paragraph may begin there.
    begin = _char_start(data, max(0, low - 64))
    window = data[begin:high].decode()
    for break_form in _BREAKS:
        positions = _byte_positions(window, break_form, begin)
        if usable := [position for position in positions if low <= position <= high]:
            return min(usable, key=_distance_from(even_cut))
    return max(low, min(high, _char_start(data, int(even_cut))))


def _distance_from(even_cut: float) -> Callable[[int], tuple[float, int]]:
    return lambda position: (abs(position - even_cut), position)


def _byte_positions(window: str, break_form: re.Pattern[str], begin: int) -> Iterator[int]:
    """Yield the position in bytes of the end of each break in a text that begins at `begin`."""
    end, position = 0, begin
    for match in break_form.finditer(window):
        position += len(window[end : match.end()].encode())
        end = match.end()
        yield position


def _char_start(data: bytes, position: int) -> int:
    """Return the first position from the given one on where a character begins."""
    # Bytes 10xxxxxx are inside a character (RFC 3629).
    while position < len(data) and data[position] & 0xC0 == 0x80:
        position += 1
    return position


def _chunks_of(data: bytes, spans: list[_ByteSpan], start: int = 0) -> Iterator[Chunk]:
    for span in spans:
        text = data[span.start : span.end].decode()
        yield Chunk(text, _join_titles(span.titles), start)
        start += len(text)


def _join_titles(titles: tuple[str, ...]) -> str:
    """Return one heading for the chapters of a chunk: `CHAPTER I – CHAPTER IV` for several."""
    named = [title for title in titles if title]
    if len(named) > 1:
        return f"{named[0]} – {named[-1]}"
    return named[0] if named else ""
