"""Bytes to characters: is this text at all, and in which encoding?"""

from __future__ import annotations

import codecs
import re
import string
from dataclasses import dataclass

from raypipe.core.errors import BookError
from raypipe.text.language import detect_language

_BOMS = (  # UTF-32 first: its little-endian BOM begins with UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_MAGIC = (
    (b"%PDF-", "a PDF file"),
    (b"PK\x03\x04", "a ZIP archive (EPUB and DOCX files are ZIP archives too)"),
    (b"\x1f\x8b\x08", "a gzip archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"GIF8", "a GIF image"),
    (b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Microsoft Office file"),
    (b"{\\rtf", "an RTF document"),
    (b"\x7fELF", "a program"),
)
_CONTROLS = bytes(code for code in range(32) if code not in b"\t\n\v\f\r\x1a") + b"\x7f"
"""Never in a text, but for strays; 0x1A ends files that come from DOS."""
_MAX_CONTROL_SHARE = 0.01
_MAX_BAD_SHARE = 0.001
_MAX_HIGH_LETTER_SHARE = 0.3
_MAX_MISPLACED_SHARE = 0.1
_SAMPLE_BYTES = 65_536

_DECLARED = re.compile(rb"^(?:Character set encoding|Charset):[ \t]*([\w-]+)", re.M | re.I)
_PLAIN_CODECS = frozenset({"ascii", "utf-8", "iso8859-1", "cp1252"})
# Punctuation of cp1252's C1 range that never stands between two small letters, while the
# letters that DOS and Mac code pages keep there do. The apostrophe and dashes are not in it.
_MISPLACED = re.compile(rb"[a-z][\x80\x82-\x89\x8b\x91\x93-\x95\x98\x99\x9b](?=[a-z])")
_HIGH = bytes(range(0x80, 0x100))
_HIGH_LETTERS = bytes(range(0xC0, 0x100))
_LETTERS = string.ascii_letters.encode() + _HIGH_LETTERS
_CENTRAL_EUROPEAN = frozenset({"pl", "cs", "sk", "hu", "ro", "hr", "sl", "sr", "bs"})
"""Languages written in cp1250 or Latin-2; told even from letters that were read wrong."""
_C1 = re.compile(rb"[\x80-\x9f]")
_IN_WORDS = re.compile(r"(?<=[a-z])[^\x00-\x7f\u2010-\u2019](?=[a-z])")


@dataclass(frozen=True, slots=True)
class Decoded:
    """Characters, and how they were got.

    Attributes:
        text: The characters, without a byte order mark.
        encoding: Python's name of the encoding.
        flags: `bad_bytes` where a few bytes had to be replaced by U+FFFD.
    """

    text: str
    encoding: str
    flags: tuple[str, ...] = ()


def decode(data: bytes) -> Decoded:
    """Return the characters of a book's bytes.

    Tried in the order that did best on real Gutenberg files: byte order mark, strict UTF-8,
    UTF-16 without a mark, an encoding that the header declares, Windows-1250 or Latin-2 for
    the languages that need them, Windows-1252, and guessing last, because charset-normalizer
    takes cp1252 for its neighbors (cp1250).

    Args:
        data: The whole file.

    Raises:
        BookError: `binary` if it is no text, `undecodable` if no encoding fits.
    """
    decoded = _by_bom(data) or _utf16_without_bom(data)
    if decoded is None:
        if what := binary_kind(data):
            raise BookError("binary", f"not a text: this is {what}; raypipe reads plain text")
        decoded = (
            _utf8(data)
            or _declared(data)
            or _central_european(data)
            or _cp1252(data)
            or _guessed(data)
        )
    if decoded is None:
        raise BookError(
            "undecodable",
            "no encoding fits these bytes (tried UTF-8, UTF-16, UTF-32, Windows-1252 and "
            "charset-normalizer's guess); convert the file to UTF-8",
        )
    return decoded


def binary_kind(data: bytes) -> str:
    """Return what kind of binary file this is, in words; empty if it may be text."""
    for magic, what in _MAGIC:
        if data.startswith(magic):
            return what
    if data[60:68] == b"BOOKMOBI":
        return "a Kindle (MOBI) book"
    share = _count(data, _CONTROLS) / max(len(data), 1)
    if share > _MAX_CONTROL_SHARE:
        return f"data with {share:.0%} control characters (at most {_MAX_CONTROL_SHARE:.0%})"
    return ""


def _by_bom(data: bytes) -> Decoded | None:
    for bom, encoding in _BOMS:
        if data.startswith(bom):
            decoded = _mended(data[len(bom) :], encoding)
            if decoded is None and encoding != "utf-8":
                raise BookError(
                    "undecodable", f"begins with the byte order mark of {encoding} but is not it"
                )
            return decoded
    return None


def _utf16_without_bom(data: bytes) -> Decoded | None:
    """Latin text in UTF-16 has a zero in every second byte, on one side only."""
    sample = data[:_SAMPLE_BYTES]
    half = len(sample) // 2
    if not half:
        return None
    even, odd = sample[0::2].count(0) / half, sample[1::2].count(0) / half
    if max(even, odd) < 0.4 or min(even, odd) > 0.05:
        return None
    return _strict(data, "utf-16-le" if odd > even else "utf-16-be")


def _utf8(data: bytes) -> Decoded | None:
    return _strict(data, "utf-8") or _mended_utf8(data)


def _mended_utf8(data: bytes) -> Decoded | None:
    """A UTF-8 book with a stray byte, or cut in a character, is not a Windows-1252 book."""
    decoded = _mended(data, "utf-8")
    if decoded is None:
        return None
    bad = decoded.text.count("\ufffd")
    good = sum(1 for char in decoded.text if char > "\x7f") - bad
    return decoded if good >= 10 * bad else None


def _declared(data: bytes) -> Decoded | None:
    """The header's word counts only for what cp1252 would get wrong without a complaint."""
    found = _DECLARED.search(data[:8192])
    if found is None:
        return None
    try:
        encoding = codecs.lookup(found[1].decode("ascii", "replace")).name
    except LookupError:
        return None
    return None if encoding in _PLAIN_CODECS else _strict(data, encoding)


def _central_european(data: bytes) -> Decoded | None:
    """Read Polish, Czech, Hungarian … as what it is: as cp1252 it would pass, ³ódka for łódka."""
    if data.isascii():
        return None
    language = detect_language(data.decode("cp1252", "replace"))
    if language not in _CENTRAL_EUROPEAN:
        return None
    # Latin-2 has controls where cp1250 has quotation marks and š, ž, ť, ś; its ą is 0xB1.
    windows = _C1.search(data) or (language == "pl" and b"\xb1" not in data)
    decoded = _mended(data, "cp1250" if windows else "iso8859-2")
    if decoded is None:
        return None
    in_words = _IN_WORDS.findall(decoded.text)
    odd = sum(not char.islower() for char in in_words)  # a DOS or Mac code page
    return decoded if odd <= _MAX_MISPLACED_SHARE * len(in_words) else None


def _cp1252(data: bytes) -> Decoded | None:
    decoded = _strict(data, "cp1252")  # fails on the five C1 bytes that it leaves undefined
    if decoded is None:
        return None
    if len(_MISPLACED.findall(data)) > _MAX_MISPLACED_SHARE * _count(data, _HIGH):
        return None
    if _count(data, _HIGH_LETTERS) > _MAX_HIGH_LETTER_SHARE * _count(data, _LETTERS):
        return None  # Cyrillic, Greek, CJK …: all but every letter is above ASCII
    return decoded


def _count(data: bytes, which: bytes) -> int:
    """Return how many of the data's bytes are among `which`."""
    return len(data) - len(data.translate(None, which))


def _guessed(data: bytes) -> Decoded | None:
    import charset_normalizer

    sample = data[: 4 * _SAMPLE_BYTES]
    if len(sample) < len(data):  # not in the middle of a character
        sample = sample[: sample.rfind(b"\n") + 1] or sample
    best = charset_normalizer.from_bytes(sample).best()
    return _mended(data, best.encoding) if best else None


def _strict(data: bytes, encoding: str) -> Decoded | None:
    try:
        return Decoded(data.decode(encoding), encoding)
    except (UnicodeDecodeError, LookupError):
        return None


def _mended(data: bytes, encoding: str) -> Decoded | None:
    """Decode, replacing bad bytes if they are few; None if they are not."""
    text = data.decode(encoding, "replace")
    bad = text.count("\ufffd")
    if not bad:
        return Decoded(text, encoding)
    if bad > max(1, _MAX_BAD_SHARE * len(text)):
        return None
    return Decoded(text, encoding, ("bad_bytes",))
