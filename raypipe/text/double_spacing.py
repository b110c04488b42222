"""Close up files in which an empty line follows every line."""

from __future__ import annotations

import re
from itertools import pairwise

_EMPTY = re.compile(r"\n[ \t]+(?=\n)")
_LINE_ENDS = re.compile(r"\n{2,}")
_BEGINNING = 20_000
_MIN_LINES = 12
_MIN_SPACED_SHARE = 0.45
"""Empty lines among all line ends. Files with a paragraph on each line have as many."""
_MAX_PAIRS_SHARE = 0.02
_MAX_WIDTH = 110
_MIN_GOING_ON = 0.35


def close_double_spacing(text: str) -> str:
    """Return the text without the empty line after each line, if it has one everywhere.

    The lines must be short and most of them must go on in the next line: otherwise each is a
    paragraph. A wider gap stays a gap between paragraphs.

    Args:
        text: The text with LF line ends.
    """
    closed = _EMPTY.sub("\n", text) if _EMPTY.search(text[:_BEGINNING]) else text
    if closed.count("\n\n") < max(_MIN_LINES, _MIN_SPACED_SHARE * closed.count("\n")):
        return text
    lines = [line.strip() for line in closed.split("\n\n") if line.strip()]
    if not _are_broken(lines):
        return text
    return _LINE_ENDS.sub(lambda match: "\n" if len(match[0]) == 2 else "\n\n", closed)


def _are_broken(lines: list[str]) -> bool:
    """Return whether single lines were broken at a width and not by the author."""
    if len(lines) < _MIN_LINES or sum("\n" in line for line in lines) > _MAX_PAIRS_SHARE * len(
        lines
    ):
        return False
    width = sorted(map(len, lines))[len(lines) * 9 // 10]
    going_on = sum(
        after[:1].islower() and before[-1:] not in ".!?:" for before, after in pairwise(lines)
    )
    return width <= _MAX_WIDTH and going_on >= _MIN_GOING_ON * len(lines)
