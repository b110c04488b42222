"""One form for one text: characters, then lines."""

# ruff: noqa: RUF001 - the quotes and stops of other scripts are meant
from __future__ import annotations

import re
import unicodedata
from functools import partial
from itertools import pairwise
from typing import NamedTuple

_NEWLINES = re.compile("\r\n?|[\x85\u2028\u2029\v]")
_DROPPED = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u200b\u2060\ufeff]")
_SURROGATES = re.compile("[\ud800-\udfff]")
_BROKEN_WORD = re.compile("(?<=[^\\W\\d_])[\u00ad\u2010\u00ac][ \\t]*\n")
_BLANK = re.compile(r"\n(?:[ \t]*\n)+")
_ILLUSTRATION = re.compile(r"\[(?:Illustration|Frontispiece)(?::\s*([^\[\]]*))?\]", re.I)
# Transcribers mark italics as _so_ and bold as =so=.
_ITALICS = re.compile(r"(?<!\w)_(?=\S)([^_]{1,400}?)(?<=\S)_(?!\w)")
_BOLD = re.compile(r"(?<![\w=])=(?=\S)([^=\n]{1,200}?)(?<=\S)=(?![\w=])")
_LINE_HYPHEN = re.compile(r"([^\W\d_]+)-\n([^\W\d_]+)")
_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")

_LONGEST_HARD_LINE = 120
"""Files whose usual line is longer than this have a paragraph on a line."""
_SLACK = 3
_WRAPPED_SHARE = 0.6
_CAPITAL_SHARE = 0.65


def normalize_characters(text: str) -> str:
    """Return the text in NFC with LF line ends and without characters that say nothing.

    Lone surrogates, which UTF-8 cannot hold, become U+FFFD; NULs, controls, soft hyphens and
    zero-width marks are dropped; a form feed becomes a paragraph break; a hyphen at a line's
    end becomes the plain one, which `unwrap` knows.
    """
    text = _NEWLINES.sub("\n", text).replace("\f", "\n\n")
    text = _BROKEN_WORD.sub("-\n", text)  # before soft hyphens are dropped
    text = _SURROGATES.sub("\ufffd", _DROPPED.sub("", text))
    return unicodedata.normalize("NFC", text)


def unwrap(text: str) -> str:
    """Return the text with one line a paragraph; lines of verse, plays and lists stay lines.

    Paragraphs are parted by one blank line, emphasis marks are gone, and words that were
    broken at a line's end are whole.

    Args:
        text: Characters as `normalize_characters` leaves them.
    """
    blocks = [_trimmed(block) for block in _BLANK.split(_unmarked(text)) if block.strip()]
    shape = _shape(blocks)
    if shape.width <= _LONGEST_HARD_LINE:
        words: set[str] = set()  # filled by the first broken word, if there is one
        join = partial(_join_lines, shape=shape, text=text, words=words)
        blocks = [join(block) if len(block) > 1 else block for block in blocks]
    paragraphs = ("\n".join(" ".join(line.split()) for line in block) for block in blocks)
    return "\n\n".join(paragraphs)


def _unmarked(text: str) -> str:
    text = _ILLUSTRATION.sub(lambda found: found[1] or "", text)
    return _BOLD.sub(r"\1", _ITALICS.sub(r"\1", text))


def _trimmed(block: str) -> list[str]:
    return [line.rstrip().expandtabs(4) for line in block.split("\n") if line.strip()]


class _Shape(NamedTuple):
    """How a book's lines were set.

    Attributes:
        width: Nine of ten lines that go on are no longer: what the lines were wrapped at.
        verse: Whether most lines begin with a capital.
    """

    width: int
    verse: bool


def _shape(blocks: list[list[str]]) -> _Shape:
    lengths = sorted(len(line) for block in blocks for line in block[:-1])
    if not lengths:
        return _Shape(max((len(line) for block in blocks for line in block), default=0), False)
    capitals = sum(map(_capitals, blocks)) / len(lengths)
    return _Shape(lengths[len(lengths) * 9 // 10], capitals >= _CAPITAL_SHARE)


def _capitals(block: list[str]) -> int:
    """Return how many lines but the first begin with no small letter."""
    return sum(not line.lstrip(" \"'“‘([_")[:1].islower() for line in block[1:])


def _join_lines(block: list[str], *, shape: _Shape, text: str, words: set[str]) -> list[str]:
    if not _is_wrapped(block, shape):
        return block
    joined = "\n".join(line.strip() for line in block)
    if _LINE_HYPHEN.search(joined):
        if not words:
            whole = _LINE_HYPHEN.sub(" ", text)  # the broken pieces are no witnesses
            words.update(word.lower() for word in _WORD.findall(whole))
        joined = _LINE_HYPHEN.sub(partial(_mend_word, words=words), joined)
    # Transcribers write a dash as two hyphens without spaces: none comes in with the join.
    joined = joined.replace("--\n", "--").replace("\n--", "--")
    return [joined.replace("\n", " ")]


def _is_wrapped(block: list[str], shape: _Shape) -> bool:
    """Tell lines that a width broke from lines that an author did.

    A line was broken by the width if the next line's first word had no room left on it; verse
    breaks earlier and, mostly, begins each line with a capital.
    """
    capitals = _capitals(block) / (len(block) - 1)
    if shape.verse:  # a width says nothing there; a preface in prose still has few capitals
        return capitals < _CAPITAL_SHARE / 2
    if _share_full(block, shape.width) >= _WRAPPED_SHARE:
        return True
    own_width = max(map(len, block[:-1]))
    if not capitals and min(map(len, block[:-1])) > shape.width * 0.6:
        return True  # ragged prose, captions
    # A letter or quotation set narrower than the book: full to its own width.
    return (
        capitals < _CAPITAL_SHARE
        and len(block) > 2
        and own_width > shape.width // 2
        and _share_full(block, own_width) >= _WRAPPED_SHARE
    )


def _share_full(block: list[str], width: int) -> float:
    pairs = list(pairwise(block))
    full = sum(
        len(line) + 1 + len(after.split(None, 1)[0]) > width - _SLACK for line, after in pairs
    )
    return full / len(pairs)


def _mend_word(found: re.Match[str], *, words: set[str]) -> str:
    """Join a broken word, but leave the hyphen of one that the book writes with a hyphen."""
    whole, parted = found[1] + found[2], f"{found[1]}-{found[2]}"
    if parted.lower() in words or not found[2][0].islower():
        return parted
    both_words = found[1].lower() in words and found[2].lower() in words
    return parted if both_words and whole.lower() not in words else whole
