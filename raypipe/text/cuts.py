"""Cut passages out of a text in one pass, and limit what is read in search of them."""

from __future__ import annotations

import re

PARAGRAPH = re.compile(r"^[^\S\n]*+\S[^\n]*+(?:\n[^\S\n]*+\S[^\n]*+)*+", re.M)
"""Consecutive lines that are not blank. To be searched from the start or the end of a line."""

_GAP = "\n\n\n\n"
_LINE_ENDS = re.compile(r"\n*")
_RULE = re.compile(r"[\s*_=~+#.-]{3,}")
_PIECE_CHARS = 4_096

_FREE_CHARS = 200_000
_HEADING_CHARS = 200
"""What a heading costs besides the characters read after it."""


class TextCuts:
    """Passages of a text that are cut out, from start to end.

    Three blank lines take the place of each passage. Only positions are kept, so that many cuts
    in a long text take no more time than a few.

    Args:
        text: The text. All positions are positions in it, unless a method says otherwise.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._kept: list[tuple[int, int]] = []  # spans before the last cut
        self._kept_chars = 0  # with the gaps between them
        self._rest = 0  # where the text after the last cut begins
        self._end = _strip_end(text, 0, len(text))
        self._no_rule_before = -1

    @property
    def rest(self) -> int:
        """Position where the text after the last cut begins."""
        return self._rest

    @property
    def length(self) -> int:
        """Characters of the shortened text."""
        if self._kept and self._rest >= self._end:
            return self._kept_chars
        return self.shortened_position(len(self._text))

    def shortened_position(self, position: int) -> int:
        """Return where a position after the last cut is in the shortened text."""
        before = self._kept_chars + len(_GAP) if self._kept else 0
        return before + position - self._rest

    def cut(self, start: int, end: int, *, with_rule: bool = False) -> None:
        """Cut out a passage of whole lines after the last cut.

        Args:
            start: Position of its first character.
            end: Position after its last character.
            with_rule: Whether to cut a rule such as `* * *` directly before it too.
        """
        stop = _strip_end(self._text, self._rest, start)
        if stop > self._rest:
            self._push(self._rest, stop)
        if with_rule:
            self._cut_rule()
        line_ends = _LINE_ENDS.match(self._text, end)
        self._rest = line_ends.end() if line_ends else end

    def shorten(self) -> str:
        """Return the text without the passages."""
        if not self._kept:
            return self._text[self._rest :]
        kept = [self._text[start:end] for start, end in self._kept]
        if self._rest < self._end:
            kept.append(self._text[self._rest :])
        return _GAP.join(kept)

    def _cut_rule(self) -> None:
        if not self._kept or self._kept[-1][1] == self._no_rule_before:
            return
        start, end = self._kept[-1]
        line = max(self._text.rfind("\n", start, end) + 1, start)
        if _RULE.fullmatch(self._text, line, end) is None:
            self._no_rule_before = end  # the next cut may begin at the same place
            return
        self._kept.pop()
        self._kept_chars -= end - start + (len(_GAP) if self._kept else 0)
        stop = _strip_end(self._text, start, line)
        if stop > start:
            self._push(start, stop)

    def _push(self, start: int, end: int) -> None:
        self._kept_chars += end - start + (len(_GAP) if self._kept else 0)
        self._kept.append((start, end))


class ReadingBudget:
    """Limits the characters that are read after headings without anything to cut.

    A book has a few such headings. A text that consists of them would take a time that grows with
    the square of its length.

    Args:
        text: The text that is searched.
    """

    def __init__(self, text: str) -> None:
        self._left = len(text) // 4 + _FREE_CHARS

    @property
    def is_spent(self) -> bool:
        """Whether no further heading should be read."""
        return self._left < 0

    def start_heading(self) -> None:
        """Record that a heading was found."""
        self._left -= _HEADING_CHARS

    def read(self, chars: int) -> None:
        """Record characters that were read after a heading."""
        self._left -= chars

    def cut(self, chars: int) -> None:
        """Record characters that were cut: they are not read again."""
        self._left += 2 * chars + _HEADING_CHARS


def _strip_end(text: str, start: int, end: int) -> int:
    """Return the end of a span without the white space at its end."""
    while end > start:
        piece = text[max(start, end - _PIECE_CHARS) : end]
        stripped = piece.rstrip()
        end -= len(piece) - len(stripped)
        if stripped:
            break
    return end
