"""Decode a page of HTML: what it declares is checked like a guess."""

from __future__ import annotations

import codecs
import re

from raypipe.text.code_pages import CODE_PAGES
from raypipe.text.decode import DecodedText, decode
from raypipe.text.east_asian import EAST_ASIAN
from raypipe.text.mixed_encodings import is_utf8

HEAD_BYTES = 4_096
"""Bytes at the start of a page that may declare its encoding."""
_EVIDENCE_BYTES = 500_000
_MIN_HIGH_BYTES = 40
"""Fewer bytes above ASCII tell less than a page that names a rare encoding."""
_HIGH = bytes(range(0x80, 0x100))
_MARKUP = re.compile(rb"<[^<>]{0,1000}>")
_CHARSET = re.compile(
    rb"<\?xml[^>]{0,200}\bencoding\s*=\s*[\"']([\w.:-]+)|<meta[^>]{0,500}?\bcharset\s*=\s*[\"']?"
    rb"([\w.:-]+)",
    re.I,
)
_NAMES = {"x-sjis": "cp932", "shift_jis": "cp932", "x-mac-roman": "mac_roman"}
"""Names that Python lacks, or that it reads more strictly than browsers do."""
_DEFAULT = "cp1252"
"""What pages that say Latin-1 or ASCII are written in; many say so without being it."""


def decode_page(data: bytes) -> DecodedText:
    """Decode a page of HTML.

    UTF-8 is read as UTF-8 whatever the page declares. Another encoding is guessed from the text
    without its markup; the declared one wins among near equals, or where there is too little text.

    Raises:
        BookError: `undecodable` or `binary`.
    """
    declared = _read_declared(data)
    if not declared:
        return decode(data)
    text = _MARKUP.sub(b" ", data[:_EVIDENCE_BYTES])
    high = len(text) - len(text.translate(None, _HIGH))
    if declared != _DEFAULT and high < _MIN_HIGH_BYTES and not is_utf8(data):
        try:
            return DecodedText(data.decode(declared), declared)
        except UnicodeDecodeError:
            pass
    return decode(data, declared, text if high else data)


def _read_declared(data: bytes) -> str:
    """Return Python's name of the declared encoding; empty for Unicode or an unknown name."""
    match = _CHARSET.search(data[:HEAD_BYTES])
    if match is None:
        return ""
    name = (match[1] or match[2]).decode("ascii").lower().removesuffix("-i")  # of Hebrew
    try:
        name = codecs.lookup(_NAMES.get(name, name)).name
    except LookupError:
        return ""
    name = _DEFAULT if name in {"iso8859-1", "ascii"} else name
    return name if name in CODE_PAGES or name in EAST_ASIAN else ""
