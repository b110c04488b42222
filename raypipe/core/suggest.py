"""Suggest the names that a typed word may mean."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_MIN_PART_CHARS = 3
_MAX_SUGGESTIONS = 3


def find_close_names(word: str, names: Iterable[str]) -> list[str]:
    """Return the name that is spelled most like a word, or else the names that contain it.

    Upper case and dashes do not matter.

    Args:
        word: What was typed.
        names: The names that exist.
    """
    plain = {_to_plain(name): name for name in sorted(names)}
    typed = _to_plain(word)
    if close := difflib.get_close_matches(typed, plain, n=1):
        return [plain[close[0]]]
    if len(typed) < _MIN_PART_CHARS:
        return []
    return [name for text, name in plain.items() if typed in text][:_MAX_SUGGESTIONS]


def did_you_mean(word: str, names: Iterable[str]) -> str:
    """Return `did you mean NAME?`, or '' if no name is close."""
    close = find_close_names(word, names)
    return f"did you mean {' or '.join(close)}?" if close else ""


def _to_plain(name: str) -> str:
    return name.lower().replace("-", "_")
