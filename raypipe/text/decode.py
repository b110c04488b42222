"""Decode a book's bytes: reject binary files, find the encoding and check the guess."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

from raypipe.core.errors import BookError
from raypipe.text.code_pages import guess_code_page
from raypipe.text.east_asian import guess_east_asian
from raypipe.text.mixed_encodings import decode_mixed
from raypipe.text.wide_encodings import BYTE_ORDER_MARKS, decode_escapes, likely_wide_encodings

_MAGIC = (
    (b"%PDF-", "a PDF file"),
    (b"PK\x03\x04", "a ZIP archive (EPUB and DOCX files are ZIP archives too)"),
    (b"\x1f\x8b\x08", "a gzip archive"),
    (b"\xfd7zXZ\x00", "an xz archive"),
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
_MAX_GUESSED_BAD_SHARE = 0.01
_MIN_FIT = 0.85
"""A book whose letters fit its language less well is flagged `encoding_unsure`."""
_MIN_POSSIBLE_FIT = 0.5
"""With a lower fit the book fails, unless nearly all its bytes are ASCII."""
_MAX_HIGH_SHARE = 0.02
_DECLARED = re.compile(rb"^(?:Character set encoding|Charset):[ \t]*([\w-]+)", re.M | re.I)
_PLAIN_CODECS = frozenset({"ascii", "utf-8", "iso8859-1", "cp1252"})
_PADDING = re.compile(rb"\x00{2,}")
_HIGH = bytes(range(0x80, 0x100))


@dataclass(frozen=True, slots=True)
class DecodedText:
    """The characters of a file and its encoding.

    Attributes:
        text: The characters, without a byte order mark.
        encoding: Python's name of the encoding.
        flags: `bad_bytes` if a few bytes were replaced by U+FFFD or were missing,
            `mixed_encodings` if lines in another encoding were repaired, `encoding_unsure` if the
            text may be wrong.
    """

    text: str
    encoding: str
    flags: tuple[str, ...] = ()


def decode(data: bytes, declared: str = "", evidence: bytes = b"") -> DecodedText:
    """Decode a book's bytes.

    Encodings are tried in this order: byte order mark, UTF-16 and UTF-32 without a mark, escape
    sequences, UTF-8, UTF-8 mixed with another encoding. At last each code page and each East Asian
    encoding decodes a sample, and the result that fits the language found in it best is chosen;
    an encoding that is declared wins among near equals.

    Args:
        data: The whole file.
        declared: Python's name of the encoding that the file declares; '' to look for the field
            of a header.
        evidence: The text of the file without its markup, from which the encoding is guessed; empty
            for the whole file.

    Raises:
        BookError: `binary` if the file is not text, `undecodable` if no encoding fits.
    """
    decoded = _decode_by_bom(data) or _decode_without_bom(data)
    if decoded is not None:
        return decoded
    file_format = _detect_magic(data)
    data, is_damaged = _remove_padding(data)
    decoded = _decode_escapes(data)
    if decoded is None:
        if file_format := file_format or detect_binary_format(data):
            raise BookError("binary", f"this is {file_format}; raypipe cannot read it")
        decoded = (
            _decode_strictly(data, "utf-8")
            or _decode_mixed(data)
            or _decode_by_fit(data, declared or _read_declared(data), evidence or data)
        )
    if decoded is None:
        raise BookError(
            "undecodable",
            "no encoding gives a readable text (tried Unicode, and the usual encodings of Europe, "
            "the Near East and East Asia); convert the file to UTF-8",
        )
    if is_damaged and "bad_bytes" not in decoded.flags:
        decoded = DecodedText(decoded.text, decoded.encoding, ("bad_bytes", *decoded.flags))
    return decoded


def detect_binary_format(data: bytes) -> str:
    """Describe the format of a binary file, e.g. `a PDF file`; empty if the file may be text."""
    if description := _detect_magic(data):
        return description
    share = _count_bytes(data, _CONTROLS) / max(len(data), 1)
    if share > _MAX_CONTROL_SHARE:
        return f"data with {share:.0%} control characters (at most {_MAX_CONTROL_SHARE:.0%})"
    return ""


def _detect_magic(data: bytes) -> str:
    if data[60:68] == b"BOOKMOBI":
        return "a Kindle (MOBI) book"
    return next((name for magic, name in _MAGIC if data.startswith(magic)), "")


def _decode_by_bom(data: bytes) -> DecodedText | None:
    for bom, encoding in BYTE_ORDER_MARKS:
        if data.startswith(bom):
            if encoding == "utf-8":
                return _decode_strictly(data[len(bom) :], encoding) or _decode_mixed(data)
            decoded = _decode_with_replacements(data[len(bom) :], encoding)
            if decoded is None:
                raise BookError(
                    "undecodable",
                    f"the file has the byte order mark of {encoding} but is not {encoding};"
                    " convert it to UTF-8",
                )
            return decoded
    return None


def _decode_without_bom(data: bytes) -> DecodedText | None:
    """Decode UTF-16 or UTF-32 without a byte order mark; the end may lack a byte."""
    for encoding in likely_wide_encodings(data):
        width = 4 if "32" in encoding else 2
        if decoded := _decode_strictly(data[: len(data) // width * width], encoding):
            return decoded
    return None


def _remove_padding(data: bytes) -> tuple[bytes, bool]:
    """Remove the zeros that fill up a file or its records.

    Returns:
        The bytes, and whether zeros inside may stand for lost text.
    """
    if b"\x00\x00" not in data:
        return data, False
    stripped = data.strip(b"\x00\x1a")
    inner = _PADDING.sub(b"\n", stripped)
    return (inner, inner != stripped) if stripped else (data, False)


def _decode_escapes(data: bytes) -> DecodedText | None:
    found = decode_escapes(data)
    if found is None:
        return None
    text, encoding = found
    return DecodedText(text, encoding, ("bad_bytes",) if "\ufffd" in text else ())


def _decode_mixed(data: bytes) -> DecodedText | None:
    bom = codecs.BOM_UTF8
    mixed = decode_mixed(data.removeprefix(bom))
    if mixed is None:
        return None
    text, is_mixed = mixed
    bad = text.count("\ufffd")
    if not is_mixed and bad > max(1, _MAX_BAD_SHARE * len(text)):
        return None
    flags = {"bad_bytes": bad, "mixed_encodings": is_mixed}
    return DecodedText(text, "utf-8", tuple(flag for flag in flags if flags[flag]))


def _decode_by_fit(data: bytes, declared: str, evidence: bytes) -> DecodedText | None:
    """Decode with the encoding whose characters fit the language best."""
    guesses = [guess_code_page(evidence, declared)]
    if guesses[0] is None or guesses[0].fit < 1:
        guesses.append(guess_east_asian(evidence, declared))
    guess = max(filter(None, guesses), key=lambda guess: guess.fit, default=None)
    high = _count_bytes(evidence, _HIGH)
    if guess is None or (guess.fit < _MIN_POSSIBLE_FIT and high > _MAX_HIGH_SHARE * len(evidence)):
        return None
    text = data.decode(guess.encoding, "replace")
    bad = text.count("\ufffd")
    if bad > max(1, _MAX_GUESSED_BAD_SHARE * len(text)):
        return None
    flags = {"bad_bytes": bad, "encoding_unsure": guess.fit < _MIN_FIT}
    return DecodedText(
        text, guess.encoding, tuple(flag for flag, is_set in flags.items() if is_set)
    )


def _read_declared(data: bytes) -> str:
    """Return Python's name of the encoding that the header declares; empty if it tells nothing.

    Headers name Latin-1 for Windows-1252, and UTF-8 after a conversion that was undone.
    """
    match = _DECLARED.search(data[:8192])
    try:
        encoding = codecs.lookup(match[1].decode("ascii", "replace")).name if match else ""
    except LookupError:
        return ""
    return "" if encoding in _PLAIN_CODECS else encoding


def _count_bytes(data: bytes, values: bytes) -> int:
    """Count the bytes of the data that are among `values`."""
    return len(data) - len(data.translate(None, values))


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
