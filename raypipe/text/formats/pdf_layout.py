"""Join the lines of printed pages to paragraphs."""

# ruff: noqa: RUF001 - typographic quotes are intended
from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

_NUMBER = re.compile(r"\d+|\b[ivxlc]+\b", re.I)
_PAGE_NUMBER = re.compile(r"[\W_]*(?:page\s*)?(?:\d{1,5}|[ivxlc]{1,8})[\W_]*", re.I)
_BROKEN_WORD = re.compile(r"[^\W\d_]-$")
_ENDS_SENTENCE = re.compile(r"[.!?:;…][\"'”’»)\]]*$")
_EDGE_LINES = 3
"""Lines at the top and at the bottom of a page that may be running heads."""
_MIN_REPEATS = 3
_INDENT_HEIGHTS = 0.6
_GAP_PITCHES = 1.35
_SHORT_SHARE = 0.9
_LARGER = 1.2
_MIN_SHARE = 0.02
"""Share of lines with an indent, or a gap above, from which these mark the paragraphs."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a page; coordinates are in points, from the lower left corner.

    Args:
        text: Its characters.
        left: Its left edge.
        bottom: Its lower edge.
        right: Its right edge.
        top: Its upper edge.
    """

    text: str
    left: float
    bottom: float
    right: float
    top: float

    @property
    def height(self) -> float:
        """Return the height of its characters."""
        return self.top - self.bottom

    def continues(self, left: float, bottom: float, top: float) -> bool:
        """Return whether a piece of text is on this line, and not in the next column."""
        middle = (bottom + top) / 2
        gap = left - self.right
        return self.bottom <= middle <= self.top and -self.height <= gap < 1.5 * self.height

    def extend(self, text: str, left: float, bottom: float, right: float, top: float) -> Line:
        """Return the line with a piece of text that continues it."""
        space = " " if left - self.right > 0.1 * self.height else ""
        edges = min(self.bottom, bottom), right, max(self.top, top)
        return Line(f"{self.text}{space}{text}", self.left, *edges)


@dataclass(frozen=True, slots=True)
class _Column:
    """Lines one below another.

    Args:
        lines: The lines.
        left: Where the lines begin that are not indented.
        right: Where full lines end.
        pitch: The usual distance of two lines.
        height: The usual height of characters.
    """

    lines: Sequence[Line]
    left: float
    right: float
    pitch: float
    height: float


def join_pages(pages: Sequence[Sequence[Line]]) -> str:
    """Return the paragraphs of all pages, separated by blank lines.

    Running heads and page numbers are left out. A paragraph goes on over columns and pages.

    Args:
        pages: The lines of each page, in reading order.
    """
    running_heads = _find_running_heads(pages)
    marked = [
        (line, begins)
        for page in pages
        for column in _columns(_without_furniture(page, running_heads))
        for line, begins in _mark_paragraphs(column)
    ]
    counts = Counter(begins for _, begins in marked)
    has_indents = counts["indent"] >= _MIN_SHARE * len(marked)
    has_marks = has_indents or counts["gap"] >= _MIN_SHARE * len(marked)
    paragraphs: list[list[str]] = []
    for line, begins in marked:
        if begins == "top":  # at the top of a column the paragraph may go on
            is_first = not has_indents and _is_closed(paragraphs)
        else:
            is_first = begins in {"indent", "gap"} or (begins == "short" and not has_marks)
        if is_first or not paragraphs:
            paragraphs.append([])
        paragraphs[-1].append(line.text)
    return "\n\n".join(_join(lines) for lines in paragraphs)


def _find_running_heads(pages: Sequence[Sequence[Line]]) -> set[str]:
    counts: Counter[str] = Counter()
    for page in pages:
        counts.update({_form(line) for line in _edge_lines(page)})
    needed = max(_MIN_REPEATS, len(pages) // 20)
    return {form for form, count in counts.items() if form and count >= needed}


def _edge_lines(page: Sequence[Line]) -> list[Line]:
    """Return the lines at the top and the bottom of a page, wherever its content has them."""
    ordered = sorted(page, key=lambda line: -line.top)
    return [*ordered[:_EDGE_LINES], *ordered[-_EDGE_LINES:]]


def _form(line: Line) -> str:
    """Return a line without its numbers, so that the heads of all pages are equal."""
    return " ".join(_NUMBER.sub("", line.text.casefold()).split())


def _without_furniture(page: Sequence[Line], running_heads: set[str]) -> list[Line]:
    ordered = sorted(page, key=lambda line: -line.top)
    gaps = [above.top - below.top for above, below in pairwise(ordered)]
    usual_gap = median(gaps) if gaps else 0.0
    furniture = _find_furniture(ordered, running_heads, usual_gap)
    furniture |= _find_furniture(ordered[::-1], running_heads, usual_gap)
    return [line for line in page if line not in furniture]


def _find_furniture(
    ordered: Sequence[Line], running_heads: set[str], usual_gap: float
) -> set[Line]:
    """Return the page numbers and running heads at an edge of a page, from the edge inwards.

    The outermost line needs no more than its repetition; a line after it must be set apart from
    the text, which may have equal lines on several pages, too.
    """
    found: set[Line] = set()
    for index, line in enumerate(ordered[:_EDGE_LINES]):
        inner = ordered[index + 1] if index + 1 < len(ordered) else None
        is_apart = inner is None or abs(line.top - inner.top) > _GAP_PITCHES * usual_gap
        is_head = _form(line) in running_heads and (not index or is_apart)
        if not is_head and not _PAGE_NUMBER.fullmatch(line.text):
            break
        found.add(line)
    return found


def _columns(lines: Sequence[Line]) -> Iterator[_Column]:
    """Yield the columns of a page: a line that is not below the line before begins another."""
    if not lines:
        return
    groups: list[list[Line]] = [[lines[0]]]
    for above, line in pairwise(lines):
        if line.top > above.bottom + 0.5 * above.height:
            groups.append([])
        groups[-1].append(line)
    for group in groups:
        height = median(line.height for line in group)
        body = [line for line in group if line.height < _LARGER * height] or group
        lefts = Counter(round(line.left) for line in body)
        # Most lines begin at the left edge; with short paragraphs, as many are indented.
        usual = [left for left, count in lefts.items() if count >= 0.2 * len(body)]
        gaps = [above.top - below.top for above, below in pairwise(group)]
        yield _Column(
            lines=group,
            left=min(usual, default=min(lefts)),
            right=max(line.right for line in body),
            pitch=median(gaps) if gaps else 1.2 * height,
            height=height,
        )


def _mark_paragraphs(column: _Column) -> Iterator[tuple[Line, str]]:
    """Yield each line, and why it may begin a paragraph; '' for a line that does not."""
    for index, line in enumerate(column.lines):
        is_indented = line.left - column.left > _INDENT_HEIGHTS * column.height
        if not index:
            yield line, "indent" if is_indented else "top"
            continue
        above = column.lines[index - 1]
        heights = sorted((above.height, line.height))
        is_short = above.right - column.left < _SHORT_SHARE * (column.right - column.left)
        is_closed = is_short and _ENDS_SENTENCE.search(above.text) is not None
        # Lines at the same indent are a quotation, unless each is a paragraph of a dialog.
        if is_indented and (is_closed or abs(above.left - line.left) > 1):
            yield line, "indent"
        elif (
            above.top - line.top > _GAP_PITCHES * column.pitch or heights[1] > _LARGER * heights[0]
        ):
            yield line, "gap"
        else:
            yield line, "short" if is_closed else ""


def _is_closed(paragraphs: Sequence[Sequence[str]]) -> bool:
    """Return whether the last paragraph may end here."""
    return bool(paragraphs) and _ENDS_SENTENCE.search(paragraphs[-1][-1]) is not None


def _join(lines: Sequence[str]) -> str:
    text = ""
    for line in lines:
        if _BROKEN_WORD.search(text) and line[:1].islower():
            text = text[:-1] + line
        else:
            text = f"{text} {line}" if text else line
    return text
