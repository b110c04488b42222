"""Make one empty line stand between paragraphs: close double spacing, separate paragraphs."""

# ruff: noqa: RUF001 - typographic quotes are intended
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
_MIN_WIDTH, _MAX_WIDTH = 45, 110
_MIN_GOING_ON = 0.35
_MAX_EMPTY_SHARE = 0.02
_MIN_INDENTED, _MAX_INDENTED = 0.02, 0.5
_LAST_LINE = 0.8
_INDENT = re.compile(r"[ \t]{2,8}(?=\S)|\u3000")
_SENTENCE_END = re.compile(r"[.!?…][\"'”’»)]*$")


def separate_paragraphs(text: str) -> str:
    """Return the text with an empty line between paragraphs, if it has none anywhere.

    Where some lines are indented, a paragraph begins at each of them. Otherwise it begins after
    a short line that ends a sentence.

    Args:
        text: The text with LF line ends.
    """
    if text.count("\n\n") > _MAX_EMPTY_SHARE * text.count("\n"):
        return text
    lines = text.split("\n")
    lengths = sorted(map(len, filter(None, lines)))
    width = lengths[len(lengths) * 9 // 10] if lengths else 0
    if len(lengths) < _MIN_LINES or not _MIN_WIDTH <= width <= _MAX_WIDTH:
        return text
    indented = sum(_INDENT.match(line) is not None for line in lines)
    by_indent = _MIN_INDENTED * len(lines) <= indented <= _MAX_INDENTED * len(lines)
    going_on = sum(line.lstrip()[:1].islower() for line in lines)
    if going_on < _MIN_GOING_ON * len(lines):
        return text  # verse, or lists
    parts = lines[:1]
    for before, line in pairwise(lines):
        begins = (
            _INDENT.match(line) is not None
            if by_indent
            else len(before) < _LAST_LINE * width
            and not line[:1].islower()
            and _SENTENCE_END.search(before[-4:]) is not None
        )
        parts.append(f"\n{line}" if begins and before and line else line)
    return "\n".join(parts)


def has_wrapped_lines(text: str) -> bool:
    """Return whether most of a reader's text has lines that were broken at a width.

    Pages that were made from text files have a line break after each line.

    Args:
        text: Paragraphs separated by empty lines.
    """
    blocks = [block.split("\n") for block in text.split("\n\n") if "\n" in block.strip("\n")]
    lines = [line for block in blocks for line in block]
    if 2 * sum(map(len, lines)) < len(text) or len(lines) < _MIN_LINES:
        return False
    width = sorted(map(len, lines))[len(lines) * 9 // 10]
    going_on = sum(_goes_on(*pair) for block in blocks for pair in pairwise(block))
    return _MIN_WIDTH <= width <= _MAX_WIDTH and going_on >= _MIN_GOING_ON * len(lines)


def _goes_on(before: str, after: str) -> bool:
    return after[:1].islower() and before[-1:] not in ".!?:"


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
    going_on = sum(_goes_on(before, after) for before, after in pairwise(lines))
    return width <= _MAX_WIDTH and going_on >= _MIN_GOING_ON * len(lines)
