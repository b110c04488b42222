"""Decode UTF-8 with lines or bytes in another encoding, as joined or edited files have them."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable
from functools import cache

from raypipe.text.code_pages import Guess, guess_code_page, rate_in_any_language, rate_text
from raypipe.text.east_asian import guess_east_asian, rate_east_asian
from raypipe.text.language import detect_language

_VALID = re.compile(
    rb"[\xc2-\xdf][\x80-\xbf]|\xe0[\xa0-\xbf][\x80-\xbf]|[\xe1-\xec\xee\xef][\x80-\xbf]{2}"
    rb"|\xed[\x80-\x9f][\x80-\xbf]|\xf0[\x90-\xbf][\x80-\xbf]{2}|[\xf1-\xf3][\x80-\xbf]{3}"
)
_CUT_END = re.compile(
    rb"(?:\xe0[\xa0-\xbf]|[\xe1-\xef][\x80-\xbf]|\xf0[\x90-\xbf][\x80-\xbf]?"
    rb"|[\xf1-\xf3][\x80-\xbf]{1,2})\Z"
)
"""The first bytes of a character at the end of a file that was cut off."""
_GOOD_PER_BAD = 10
_MIN_LINES, _MIN_LINE_SHARE = 2, 0.03
_MIN_FIT, _MIN_REPAIR_FIT = 0.85, 0.6
_MIN_EVIDENCE = 4
"""Fewer bytes that are not UTF-8 are Windows-1252, if anything."""
_SAMPLE_CHARS = 8_000


def decode_mixed(data: bytes) -> tuple[str, bool] | None:
    """Return the text of a file that is mostly, or in whole lines, UTF-8.

    A line that is not UTF-8 is decoded with the encoding that fits all such lines best. In a line
    that has both, only the bytes that are not UTF-8 are. What fits nowhere becomes U+FFFD.

    Args:
        data: A file that is not valid UTF-8.

    Returns:
        The text, and whether another encoding was used; None if the file is not UTF-8.
    """
    if cut := _CUT_END.search(data, max(0, len(data) - 3)):
        mixed = decode_mixed(data[: cut.start()])
        return (f"{mixed[0]}\ufffd", mixed[1]) if mixed else None
    lines = data.split(b"\n")
    good, bad = _divide(lines)
    if not _is_mostly_utf8(good, bad):
        return None
    if not bad:
        return data.decode(), False
    language = detect_language("\n".join(line.decode() for line in good)[:_SAMPLE_CHARS])
    guess = _guess_other(bad, "" if language == "und" else language)
    if guess is None:
        return data.decode("utf-8", "replace"), False
    decoded = [_decode_line(line, guess) for line in bad]
    repaired = iter(decoded)
    text = "\n".join(line.decode() if is_utf8(line) else next(repaired) for line in lines)
    as_utf8 = b"\n".join(bad).decode("utf-8", "replace")
    return text, "\n".join(decoded) != as_utf8


def _divide(lines: Iterable[bytes]) -> tuple[list[bytes], list[bytes]]:
    """Return the lines above ASCII that are valid UTF-8, and those that are not."""
    good: list[bytes] = []
    bad: list[bytes] = []
    for line in lines:
        if not line.isascii():
            (good if is_utf8(line) else bad).append(line)
    return good, bad


def _is_mostly_utf8(good: list[bytes], bad: list[bytes]) -> bool:
    rest = b"\n".join(bad)
    valid = sum(1 for line in good for _ in _VALID.finditer(line)) + len(_VALID.findall(rest))
    invalid = len(_invalid_bytes(rest))
    if valid >= _GOOD_PER_BAD * invalid:
        return valid > 0
    if len(good) < max(_MIN_LINES, _MIN_LINE_SHARE * (len(good) + len(bad))):
        return False
    # A line in another encoding may be valid UTF-8 by accident, but has no usual letters then.
    text = "\n".join(line.decode() for line in good)[:_SAMPLE_CHARS]
    fits = rate_in_any_language(text), rate_east_asian(text)
    return max(fits) >= _MIN_FIT


def _guess_other(bad: list[bytes], language: str) -> Guess | None:
    """Return the encoding of the lines that are not UTF-8; None if no encoding fits."""
    foreign = b"\n".join(line if _is_foreign(line) else _VALID.sub(b"", line) for line in bad)
    if len(_invalid_bytes(foreign)) < _MIN_EVIDENCE:
        fit = rate_text(foreign.decode("cp1252", "replace"), language)
        return Guess("cp1252", language, fit) if fit >= _MIN_REPAIR_FIT else None
    guesses = [
        guess_code_page(foreign, "cp1252", language),
        guess_code_page(foreign, "cp1252"),
        guess_east_asian(foreign),
    ]
    fitting = [guess for guess in guesses if guess and guess.fit >= _MIN_REPAIR_FIT]
    return max(fitting, key=lambda guess: guess.fit, default=None)


def _decode_line(line: bytes, guess: Guess) -> str:
    if _is_foreign(line):
        return line.decode(guess.encoding, "replace")
    return line.decode("utf-8", _handler(guess.encoding))


def _is_foreign(line: bytes) -> bool:
    """Return whether a line has fewer characters of UTF-8 than bytes that are not."""
    return len(_VALID.findall(line)) < len(_invalid_bytes(line))


def _invalid_bytes(line: bytes) -> bytes:
    rest = _VALID.sub(b"", line)
    return bytes(byte for byte in rest if byte > 0x7F) if not rest.isascii() else b""


def is_utf8(data: bytes) -> bool:
    """Return whether bytes are valid UTF-8."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


@cache
def _handler(encoding: str) -> str:
    """Return the name of an error handler that decodes single bytes with another encoding."""

    def replace(error: UnicodeError) -> tuple[str, int]:
        if not isinstance(error, UnicodeDecodeError):
            raise error
        wrong = error.object[error.start : error.end]
        # Several bytes are a character of UTF-8 that was cut off.
        char = wrong.decode(encoding, "replace") if len(wrong) == 1 else "\ufffd"
        return char, error.end

    name = f"raypipe-{encoding}"
    codecs.register_error(name, replace)
    return name
