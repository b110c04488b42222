"""Make texts of others safe to print: a key or a server's answer must not act on a terminal."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

# C0, delete and C1; line and paragraph separators; marks and overrides of the text direction;
# lone surrogates, which no encoding of a terminal has.
_CONTROL = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
_NAMES = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}
_INDENT = "    "


def escape_line(text: object) -> str:
    r"""Return a text as one line: control characters become escapes such as `\x1b` and `\n`."""
    return _CONTROL.sub(_escape, str(text))


def join_lines(lines: Iterable[object]) -> str:
    """Return lines as one text; a line break inside a line is escaped.

    Join lines by it, not by `str.join`: a book's key may have a line break.
    """
    return "\n".join(map(escape_line, lines))


def indent_lines(text: str) -> str:
    """Return a text of several lines, such as a traceback, so that no line looks like a record."""
    return "\n".join(_INDENT + escape_line(line) for line in text.split("\n"))


def to_json(value: Any) -> str:
    """Return a value as one line of JSON that is safe to print."""
    text = json.dumps(value, ensure_ascii=False)
    return _CONTROL.sub(lambda match: rf"\u{ord(match[0]):04x}", text)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return _NAMES.get(match[0]) or (rf"\x{code:02x}" if code < 0x100 else rf"\u{code:04x}")
