"""Decode UTF-16, UTF-32 and the encodings with escape sequences, which look like binary files."""

from __future__ import annotations

import codecs
import re
from collections import Counter
from collections.abc import Callable, Iterator

from raypipe.text.east_asian import (
    rate_chinese,
    rate_east_asian,
    rate_japanese,
    rate_korean,
)

BYTE_ORDER_MARKS = (  # UTF-32 first: its little-endian mark begins with UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_SAMPLE_BYTES = 65_536
_MIN_ZERO_SHARE, _MAX_OTHER_ZERO_SHARE = 0.4, 0.05
_MIN_BLOCK_SHARE = 0.7
_MIN_FIT = 0.8
_BLOCKS = frozenset({0, 1, 2, 3, 4, 5, 6, 7, 0x0E, 0x0F, 0x10, 0x11, 0x12, 0x17, 0x1E, 0x1F})
"""High bytes of the characters of alphabets, without those that are line ends in ASCII."""
_ESCAPES: tuple[tuple[re.Pattern[bytes], str, Callable[[str], float]], ...] = (
    (re.compile(rb"\x1b\$[@B]|\x1b\$\([@BD]"), "iso2022_jp_ext", rate_japanese),
    (re.compile(rb"\x1b\$\)C"), "iso2022_kr", rate_korean),
    (re.compile(rb"~\{[!-w][!-~]"), "hz", rate_chinese),
)


def likely_wide_encodings(data: bytes) -> Iterator[str]:
    """Yield UTF-32 or UTF-16 of both byte orders if a file without a mark looks like it.

    Latin text has a zero in every second byte, on one side only. Other alphabets have the number
    of their block there. Chinese, Japanese and Korean are recognized by their characters.
    """
    sample = data[: min(_SAMPLE_BYTES, len(data) // 4 * 4)]
    if not sample or _is_utf8(sample):
        return
    columns = [sample[at::4] for at in range(4)]
    zeros = [column.count(0) / len(column) for column in columns]
    if min(zeros[2:]) > 0.9 and zeros[0] < 0.1:
        yield "utf-32-le"
    if min(zeros[:2]) > 0.9 and zeros[3] < 0.1:
        yield "utf-32-be"
    for name, column, other in (
        ("utf-16-le", sample[1::2], sample[0::2]),
        ("utf-16-be", sample[0::2], sample[1::2]),
    ):
        has_zeros = column.count(0) >= _MIN_ZERO_SHARE * len(column)
        is_latin = has_zeros and other.count(0) <= _MAX_OTHER_ZERO_SHARE * len(other)
        is_other = _share_of_blocks(column) >= _MIN_BLOCK_SHARE > _share_of_blocks(other)
        if is_latin or is_other or _is_east_asian(sample, name):
            yield name


def decode_escapes(data: bytes) -> tuple[str, str] | None:
    """Return the text and the encoding of ISO-2022-JP, ISO-2022-KR or HZ; None for other files."""
    if not data.isascii():
        return None
    for escape, encoding, rate in _ESCAPES:
        if escape.search(data) is None:
            continue
        text = data.decode(encoding, "replace")
        if rate(text[:_SAMPLE_BYTES]) >= _MIN_FIT:
            return text, encoding
    return None


def _is_utf8(sample: bytes) -> bool:
    """Return whether a sample without zeros is UTF-8, up to a character that was cut."""
    if 0 in sample:
        return False
    return sample.isascii() or "\ufffd" not in sample.decode("utf-8", "replace")[:-1]


def _share_of_blocks(column: bytes) -> float:
    """Return the share of the bytes that are the number of one of three blocks of alphabets."""
    blocks = Counter(column).most_common(3)
    return sum(count for block, count in blocks if block in _BLOCKS) / len(column)


def _is_east_asian(sample: bytes, encoding: str) -> bool:
    """Return whether a sample is Chinese, Japanese or Korean in an encoding."""
    text = sample[:8_192].decode(encoding, "replace")
    return text.count("\ufffd") <= 1 and rate_east_asian(text) >= _MIN_FIT and not text.isascii()
