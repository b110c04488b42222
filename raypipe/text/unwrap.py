"""Join the lines of wrapped paragraphs; keep the lines of verse, plays and lists."""

# ruff: noqa: RUF001 - typographic quotes and dashes are intended
from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache, partial
from itertools import pairwise
from statistics import median
from typing import NamedTuple

_BLANK = re.compile(r"\n(?:[ \t]*\n)+")
_ILLUSTRATION = re.compile(r"\[(?:Illustration|Frontispiece)(?::\s*+([^\[\]]*+))?\]", re.I)
# Transcribers mark italics as _so_ and bold as =so=.
_ITALICS = re.compile(r"(?<!\w)_(?=\S)([^_]{1,400}?)(?<=\S)_(?!\w)")
_BOLD = re.compile(r"(?<![\w=])=(?=\S)([^=\n]{1,200}?)(?<=\S)=(?![\w=])")
_LINE_HYPHEN = re.compile(r"(?<![^\W\d_])([^\W\d_]++)-\n([^\W\d_]+)")
_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")

_MAX_WRAP_WIDTH = 120
"""Files whose usual line is longer have a whole paragraph on each line."""
_SLACK = 3
_LAST_SPACED = "\u0e00"
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3000-\u30ff\u3400-\u9fff\uf900-\ufaff\uff01-\uff9f"
)
_UNSPACED_END = re.compile(rf"(?<=[{_UNSPACED}])\n(?=[{_UNSPACED}])")
_UNSPACED_START = re.compile(f"[{_UNSPACED}]")
_MIN_UNSPACED_WIDTH = 15
"""Shorter lines of scripts without spaces are verse."""
_MIN_VERSE_LINES, _SAMPLE_STANZAS = 12, 150
_MAX_STOPS, _MAX_STOPS_OF_STANZAS = 0.05, 0.25
_STOP_INSIDE = re.compile(r"[.,;:!?—–-][\"'”’»)]{0,2}\s+\S|--|—|[。，、；：！？،؛]\S")
_MIN_STANZAS, _MAX_VERSE_WIDTH = 5, 70
_FULL_END, _FULL_END_SHARE = 0.75, 0.7
_PROSE_WIDTH = 1.25
_WRAPPED_SHARE = 0.6
_CAPITAL_SHARE = 0.65


class _Layout(NamedTuple):
    """How the lines of a book were set.

    Attributes:
        width: The length that nine of ten lines before another line of their paragraph do not
            exceed: the width at which the text was wrapped.
        is_verse: Whether most lines begin with a capital.
        stanza_width: Length of the median line if the last lines of most paragraphs are as long
            as the others, which the last lines of prose are not; else 0. Such lines are verse,
            even if they begin with small letters.
    """

    width: int
    is_verse: bool
    stanza_width: float = 0


def unwrap_lines(text: str, *, is_wrapped: bool = True) -> str:
    """Return the text with one line per paragraph; verse, plays and lists keep their lines.

    Paragraphs are separated by one blank line, emphasis marks are removed, and words that were
    broken at the end of a line are joined.

    Args:
        text: Characters as `normalize.normalize_characters` returns them.
        is_wrapped: Whether lines may be broken at a width. If not, all of them are kept.
    """
    blocks = [_split_lines(block) for block in _BLANK.split(_remove_markup(text)) if block.strip()]
    layout = _measure_layout(blocks)
    if is_wrapped and layout.width <= _MAX_WRAP_WIDTH:
        words = cache(partial(_words_of, text))  # read at the first broken word, if there is one
        join = partial(_join_lines, layout=layout, words=words)
        blocks = [join(block) if len(block) > 1 else block for block in blocks]
    return "\n\n".join(
        [
            "\n".join([" ".join(line.split()) for line in block])
            if len(block) > 1
            else " ".join(block[0].split())
            for block in blocks
        ]
    )


def _remove_markup(text: str) -> str:
    if "[" in text:
        text = _ILLUSTRATION.sub(lambda match: match[1] or "", text)
    if "_" in text:
        text = _ITALICS.sub(r"\1", text)
    return _BOLD.sub(r"\1", text) if "=" in text else text


def _split_lines(block: str) -> list[str]:
    if "\n" not in block:
        return [block.rstrip().expandtabs(4)]
    return [line.rstrip().expandtabs(4) for line in block.split("\n") if line.strip()]


def _measure_layout(blocks: list[list[str]]) -> _Layout:
    wrapped = [block for block in blocks if len(block) > 1]
    lengths = sorted(len(line) for block in wrapped for line in block[:-1])
    if not lengths:
        return _Layout(max((len(line) for block in blocks for line in block), default=0), False)
    capitals = sum(map(_count_capitals, wrapped)) / len(lengths)
    width = lengths[len(lengths) * 9 // 10]
    is_verse = capitals >= _CAPITAL_SHARE
    return _Layout(width, is_verse, 0 if is_verse else _measure_stanzas(wrapped))


def _measure_stanzas(blocks: list[list[str]]) -> float:
    stanzas = [block for block in blocks if len(block) > 2]
    stanzas = stanzas[:: 1 + len(stanzas) // _SAMPLE_STANZAS]
    lines = [line for block in stanzas for line in block]
    if len(lines) < _MIN_VERSE_LINES:
        return 0
    width = median(map(len, lines))
    if width > _MAX_VERSE_WIDTH:
        return 0
    stops = sum(map(_has_stop_inside, lines)) / len(lines)
    full = sum(len(block[-1]) >= _FULL_END * width for block in stanzas) / len(stanzas)
    has_full_ends = len(stanzas) >= _MIN_STANZAS and full >= _FULL_END_SHARE
    # Prose has commas and stops inside more than half of its lines.
    return width if stops <= (_MAX_STOPS_OF_STANZAS if has_full_ends else _MAX_STOPS) else 0


def _has_stop_inside(line: str) -> bool:
    return _STOP_INSIDE.search(line) is not None


def _count_capitals(block: list[str]) -> int:
    """Count the lines after the first that begin neither with a small letter nor without case."""
    return sum(
        (first := line.lstrip(" \"'“‘([_")[:1]).isupper() or not first.isalpha()
        for line in block[1:]
    )


def _words_of(text: str) -> set[str]:
    """Return the words of a text in small letters; pieces of broken words are no evidence."""
    return {word.lower() for word in _WORD.findall(_LINE_HYPHEN.sub(" ", text))}


def _join_lines(block: list[str], *, layout: _Layout, words: Callable[[], set[str]]) -> list[str]:
    if not _is_wrapped(block, layout):
        return block
    joined = "\n".join(line.strip() for line in block)
    if _LINE_HYPHEN.search(joined):
        joined = _LINE_HYPHEN.sub(partial(_join_word, words=words()), joined)
    # Transcribers write a dash as two hyphens without spaces: the join must not add a space.
    joined = joined.replace("--\n", "--").replace("\n--", "--")
    if not joined.isascii():
        joined = _UNSPACED_END.sub("", joined)
    return [joined.replace("\n", " ")]


def _is_wrapped(block: list[str], layout: _Layout) -> bool:
    """Return whether the lines were broken at a width and not by the author.

    A line was broken at the width if the next line's first word would not have fit on it. Verse
    breaks earlier and mostly begins each line with a capital.
    """
    capitals = _count_capitals(block) / (len(block) - 1)
    if layout.is_verse:  # the width tells nothing here; a prose preface still has few capitals
        return capitals < _CAPITAL_SHARE / 2
    if layout.stanza_width:
        return median(map(len, block[:-1])) > layout.stanza_width * _PROSE_WIDTH
    if layout.width < _MIN_UNSPACED_WIDTH and _UNSPACED_START.match(block[0].lstrip()):
        return False
    if _share_of_full_lines(block, layout.width) >= _WRAPPED_SHARE:
        return True
    block_width = max(map(len, block[:-1]))
    if not capitals and min(map(len, block[:-1])) > layout.width * 0.6:
        return True  # ragged prose, captions
    # A letter or quotation set narrower than the book: full to the block's own width.
    return (
        capitals < _CAPITAL_SHARE
        and len(block) > 2
        and block_width > layout.width // 2
        and _share_of_full_lines(block, block_width) >= _WRAPPED_SHARE
    )


def _share_of_full_lines(block: list[str], width: int) -> float:
    pairs = list(pairwise(block))
    full = sum(
        len(line) + 1 + (1 if _is_unspaced(after) else len(after.split(None, 1)[0]))
        > width - _SLACK
        for line, after in pairs
    )
    return full / len(pairs)


def _is_unspaced(line: str) -> bool:
    return line > _LAST_SPACED and _UNSPACED_START.match(line) is not None


def _join_word(match: re.Match[str], *, words: set[str]) -> str:
    """Join a broken word; keep the hyphen if the book writes the word with a hyphen."""
    joined, hyphenated = match[1] + match[2], f"{match[1]}-{match[2]}"
    if hyphenated.lower() in words or not match[2][0].islower():
        return hyphenated
    are_both_words = match[1].lower() in words and match[2].lower() in words
    return hyphenated if are_both_words and joined.lower() not in words else joined
