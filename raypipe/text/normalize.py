"""Normalize characters and line ends."""

from __future__ import annotations

import re
import unicodedata
from functools import cache

_NEWLINES = re.compile("\r\n?|[\x85\u2028\u2029\v]")
_DROPPED = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u200b\u2060\ufeff]")
_SURROGATES = re.compile("[\ud800-\udfff]")
_BROKEN_WORD = re.compile("(?<=[^\\W\\d_])[\u00ad\u2010\u00ac][ \\t]*\n")

_ASCII_LINE_ENDS = bytes.maketrans(b"\r\v", b"\n\n")
_ASCII_DROPPED = bytes([*range(0x09), *range(0x0E, 0x20), 0x7F])
"""What `_NEWLINES` and `_DROPPED` match in ASCII; bytes are translated 30 times as fast."""

_MAX_TRANSFERS = 3
_MAX_MARKS = 30
_FIRST_MARK, _LAST_MARK = 0x300, 0x1FFFF
"""Range of all characters with a combining class."""


def normalize_characters(text: str) -> str:
    """Return the text in NFC with LF line ends and without invisible characters.

    Lone surrogates, which UTF-8 cannot encode, become U+FFFD. NULs, controls, soft hyphens and
    zero-width marks are dropped. Form feeds stay, for `page_furniture.remove_page_furniture`. A
    hyphen at the end of a line becomes the plain hyphen, which `unwrap.unwrap_lines` recognizes.
    CR CR LF, which transfers in text mode make of CR LF, is one line end.
    """
    for _ in range(_MAX_TRANSFERS):
        if "\r\r\n" in text:
            text = text.replace("\r\r\n", "\r\n")
    if text.isascii():
        plain = (
            text.encode("ascii").replace(b"\r\n", b"\n").translate(_ASCII_LINE_ENDS, _ASCII_DROPPED)
        )
        return plain.decode("ascii")
    text = _NEWLINES.sub("\n", text)
    text = _BROKEN_WORD.sub("-\n", text)  # before soft hyphens are dropped
    text = _SURROGATES.sub("\ufffd", _DROPPED.sub("", text))
    return unicodedata.normalize("NFC", _limit_marks(text))


def _limit_marks(text: str) -> str:
    """Insert a combining grapheme joiner after each 30 combining marks in a row.

    This is the stream-safe form of UAX #15. Without it, normalization sorts the marks of a
    character in a time that grows with the square of their number; no language needs 30.
    """
    return text if text.isascii() else _many_marks().sub("\\g<0>\u034f", text)


@cache
def _many_marks() -> re.Pattern[str]:
    """Return the pattern of 30 combining marks before a further mark."""
    codes = range(_FIRST_MARK, _LAST_MARK + 1)
    marks = "".join(chr(code) for code in codes if unicodedata.combining(chr(code)))
    return re.compile(f"[{marks}]{{{_MAX_MARKS}}}(?=[{marks}])")
