"""Decode a book's bytes: reject binary files and find the encoding."""

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
"""Bytes that a text has at most by accident. 0x1A is allowed: it ends files from DOS."""
_MAX_CONTROL_SHARE = 0.01
_MAX_BAD_SHARE = 0.001
_MAX_HIGH_LETTER_SHARE = 0.3
_MAX_MISPLACED_SHARE = 0.1
_SAMPLE_BYTES = 65_536

_DECLARED = re.compile(rb"^(?:Character set encoding|Charset):[ \t]*([\w-]+)", re.M | re.I)
_PLAIN_CODECS = frozenset({"ascii", "utf-8", "iso8859-1", "cp1252"})
# Punctuation in cp1252's C1 range that never occurs between two small letters. DOS and Mac code
# pages have letters at these bytes. The apostrophe and the dashes are not included.
_MISPLACED = re.compile(rb"[a-z][\x80\x82-\x89\x8b\x91\x93-\x95\x98\x99\x9b](?=[a-z])")
_HIGH = bytes(range(0x80, 0x100))
_HIGH_LETTERS = bytes(range(0xC0, 0x100))
_LETTERS = string.ascii_letters.encode() + _HIGH_LETTERS
_CENTRAL_EUROPEAN = frozenset({"pl", "cs", "sk", "hu", "ro", "hr", "sl", "sr", "bs"})
"""Languages written in cp1250 or Latin-2. They are detected even if decoded as cp1252."""
_C1 = re.compile(rb"[\x80-\x9f]")
_IN_WORDS = re.compile(r"(?<=[a-z])[^\x00-\x7f\u2010-\u2019](?=[a-z])")


@dataclass(frozen=True, slots=True)
class DecodedText:
    """The characters of a file and its encoding.

    Attributes:
        text: The characters, without a byte order mark.
        encoding: Python's name of the encoding.
        flags: `bad_bytes` if a few bytes were replaced by U+FFFD.
    """

    text: str
    encoding: str
    flags: tuple[str, ...] = ()


def decode(data: bytes) -> DecodedText:
    """Decode a book's bytes.

    Encodings are tried in the order that did best on real Gutenberg files: byte order mark,
    strict UTF-8, UTF-16 without a mark, an encoding that the header declares, Windows-1250 or
    Latin-2 for the languages that need them, Windows-1252. Guessing comes last, because
    charset-normalizer takes cp1252 for its neighbors (cp1250).

    Args:
        data: The whole file.

    Raises:
        BookError: `binary` if the file is not text, `undecodable` if no encoding fits.
    """
    decoded = _decode_by_bom(data) or _decode_utf16_without_bom(data)
    if decoded is None:
        if file_format := detect_binary_format(data):
            raise BookError("binary", f"this is {file_format}; raypipe cannot read it")
        decoded = (
            _decode_utf8(data)
            or _decode_as_declared(data)
            or _decode_central_european(data)
            or _decode_cp1252(data)
            or _decode_by_guess(data)
        )
    if decoded is None:
        raise BookError(
            "undecodable",
            "no encoding fits these bytes (tried UTF-8, UTF-16, UTF-32, Windows-1252 and "
            "charset-normalizer's guess); convert the file to UTF-8",
        )
    return decoded


def detect_binary_format(data: bytes) -> str:
    """Describe the format of a binary file, e.g. `a PDF file`; empty if the file may be text."""
    for magic, description in _MAGIC:
        if data.startswith(magic):
            return description
    if data[60:68] == b"BOOKMOBI":
        return "a Kindle (MOBI) book"
    share = _count_bytes(data, _CONTROLS) / max(len(data), 1)
    if share > _MAX_CONTROL_SHARE:
        return f"data with {share:.0%} control characters (at most {_MAX_CONTROL_SHARE:.0%})"
    return ""


def _decode_by_bom(data: bytes) -> DecodedText | None:
    for bom, encoding in _BOMS:
        if data.startswith(bom):
            decoded = _decode_with_replacements(data[len(bom) :], encoding)
            if decoded is None and encoding != "utf-8":
                raise BookError(
                    "undecodable",
                    f"the file has the byte order mark of {encoding} but is not {encoding};"
                    " convert it to UTF-8",
                )
            return decoded
    return None


def _decode_utf16_without_bom(data: bytes) -> DecodedText | None:
    """Decode Latin text in UTF-16, which has a zero in every second byte, on one side only."""
    sample = data[:_SAMPLE_BYTES]
    half = len(sample) // 2
    if not half:
        return None
    even, odd = sample[0::2].count(0) / half, sample[1::2].count(0) / half
    if max(even, odd) < 0.4 or min(even, odd) > 0.05:
        return None
    return _decode_strictly(data, "utf-16-le" if odd > even else "utf-16-be")


def _decode_utf8(data: bytes) -> DecodedText | None:
    return _decode_strictly(data, "utf-8") or _decode_damaged_utf8(data)


def _decode_damaged_utf8(data: bytes) -> DecodedText | None:
    """Decode UTF-8 that has a stray byte or ends inside a character.

    The file counts as UTF-8, not as Windows-1252, if 10 times as many characters are valid.
    """
    decoded = _decode_with_replacements(data, "utf-8")
    if decoded is None:
        return None
    bad = decoded.text.count("\ufffd")
    good = sum(1 for char in decoded.text if char > "\x7f") - bad
    return decoded if good >= 10 * bad else None


def _decode_as_declared(data: bytes) -> DecodedText | None:
    """Decode as the header declares, but only where cp1252 would silently decode wrongly."""
    match = _DECLARED.search(data[:8192])
    if match is None:
        return None
    try:
        encoding = codecs.lookup(match[1].decode("ascii", "replace")).name
    except LookupError:
        return None
    return None if encoding in _PLAIN_CODECS else _decode_strictly(data, encoding)


def _decode_central_european(data: bytes) -> DecodedText | None:
    """Decode Polish, Czech, Hungarian … in cp1250 or Latin-2.

    As cp1252 the bytes would pass as valid, with ³ódka for łódka.
    """
    if data.isascii():
        return None
    language = detect_language(data.decode("cp1252", "replace"))
    if language not in _CENTRAL_EUROPEAN:
        return None
    # Latin-2 has controls where cp1250 has quotation marks and š, ž, ť, ś; its ą is 0xB1.
    is_windows = _C1.search(data) or (language == "pl" and b"\xb1" not in data)
    decoded = _decode_with_replacements(data, "cp1250" if is_windows else "iso8859-2")
    if decoded is None:
        return None
    inner_chars = _IN_WORDS.findall(decoded.text)
    # Many characters that are no small letters inside words: a DOS or Mac code page.
    misplaced = sum(not char.islower() for char in inner_chars)
    return decoded if misplaced <= _MAX_MISPLACED_SHARE * len(inner_chars) else None


def _decode_cp1252(data: bytes) -> DecodedText | None:
    decoded = _decode_strictly(data, "cp1252")  # fails on the five undefined C1 bytes
    if decoded is None:
        return None
    if len(_MISPLACED.findall(data)) > _MAX_MISPLACED_SHARE * _count_bytes(data, _HIGH):
        return None
    if _count_bytes(data, _HIGH_LETTERS) > _MAX_HIGH_LETTER_SHARE * _count_bytes(data, _LETTERS):
        return None  # Cyrillic, Greek, CJK …: nearly every letter is above ASCII
    return decoded


def _count_bytes(data: bytes, values: bytes) -> int:
    """Count the bytes of the data that are among `values`."""
    return len(data) - len(data.translate(None, values))


def _decode_by_guess(data: bytes) -> DecodedText | None:
    import charset_normalizer

    sample = data[: 4 * _SAMPLE_BYTES]
    if len(sample) < len(data):  # end at a line, not inside a character
        sample = sample[: sample.rfind(b"\n") + 1] or sample
    best = charset_normalizer.from_bytes(sample).best()
    return _decode_with_replacements(data, best.encoding) if best else None


def _decode_strictly(data: bytes, encoding: str) -> DecodedText | None:
    try:
        return DecodedText(data.decode(encoding), encoding)
    except (UnicodeDecodeError, LookupError):
        return None


def _decode_with_replacements(data: bytes, encoding: str) -> DecodedText | None:
    """Decode and replace bad bytes by U+FFFD; return None if there are too many."""
    text = data.decode(encoding, "replace")
    bad = text.count("\ufffd")
    if not bad:
        return DecodedText(text, encoding)
    if bad > max(1, _MAX_BAD_SHARE * len(text)):
        return None
    return DecodedText(text, encoding, ("bad_bytes",))
