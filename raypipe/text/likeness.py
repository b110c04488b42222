"""Compare lines of which a scanner may have misread some letters."""

from __future__ import annotations

import re
from collections.abc import Set as AbstractSet
from difflib import SequenceMatcher

_WORDS = re.compile(r"[^\W\d_]+")
_MIN_LIKE_LETTERS, _MAX_LENGTH_DIFFERENCE, _MIN_LIKENESS, _MAX_HEADS = 6, 4, 0.75, 30


def letters_in(line: str) -> str:
    """Return the letters of a line in small letters."""
    return "".join(_WORDS.findall(line.lower()))


def is_like(letters: str, heads: AbstractSet[str]) -> bool:
    """Return whether a line is a running head, apart from errors of recognition."""
    if letters in heads:
        return True
    if len(letters) < _MIN_LIKE_LETTERS or len(heads) > _MAX_HEADS:
        return False
    return any(
        abs(len(letters) - len(head)) <= _MAX_LENGTH_DIFFERENCE
        and SequenceMatcher(None, letters, head, autojunk=False).ratio() >= _MIN_LIKENESS
        for head in heads
    )
