from __future__ import annotations

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.book import BookError
from raypipe.text.decode import binary_kind, decode

ENGLISH = "The café’s owner wrote “naïve” in the guest book — twice.\n" * 20
RUSSIAN = "Старый маяк стоял на краю мыса, и никто не помнил, кто его построил.\n" * 40


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        (codecs.BOM_UTF8 + ENGLISH.encode(), "utf-8"),
        (codecs.BOM_UTF16_LE + ENGLISH.encode("utf-16-le"), "utf-16-le"),
        (codecs.BOM_UTF16_BE + ENGLISH.encode("utf-16-be"), "utf-16-be"),
        (codecs.BOM_UTF32_LE + ENGLISH.encode("utf-32-le"), "utf-32-le"),
        (codecs.BOM_UTF32_BE + ENGLISH.encode("utf-32-be"), "utf-32-be"),
        (ENGLISH.encode(), "utf-8"),
        (ENGLISH.encode("cp1252"), "cp1252"),
        (ENGLISH.encode("utf-16-le"), "utf-16-le"),
        (ENGLISH.encode("utf-16-be"), "utf-16-be"),
    ],
)
def test_each_encoding_gives_the_same_characters(data: bytes, encoding: str) -> None:
    decoded = decode(data)
    assert decoded.text == ENGLISH
    assert decoded.encoding == encoding
    assert decoded.flags == ()


@pytest.mark.parametrize("encoding", ["cp1251", "koi8-r"])
def test_cyrillic_is_not_taken_for_cp1252(encoding: str) -> None:
    assert decode(RUSSIAN.encode(encoding)).text == RUSSIAN


def test_dos_accents_between_small_letters_are_not_cp1252_punctuation() -> None:
    french = "Le général avait été blessé à la tête près de la rivière gelée.\n" * 30
    assert decode(french.encode("cp850")).encoding != "cp1252"


def test_the_declared_encoding_counts_where_cp1252_would_not_complain() -> None:
    polish = "Character set encoding: ISO-8859-2\n\n" + "Zażółć gęślą jaźń, powiedział.\n" * 20
    decoded = decode(polish.encode("iso8859-2"))
    assert (decoded.encoding, decoded.text) == ("iso8859-2", polish)


def test_a_wrongly_declared_ascii_does_not_count() -> None:
    text = "Character set encoding: ASCII\n\n" + ENGLISH
    assert decode(text.encode("cp1252")).text == text


def test_a_declared_latin1_with_curly_quotes_is_cp1252() -> None:
    text = "Character set encoding: ISO-8859-1\n\n" + ENGLISH
    decoded = decode(text.encode("cp1252"))
    assert (decoded.encoding, decoded.text) == ("cp1252", text)


def test_a_stray_byte_does_not_turn_utf8_into_cp1252() -> None:
    decoded = decode(ENGLISH.encode() + b"\xff and on\n" + ENGLISH.encode())
    assert decoded.encoding == "utf-8"
    assert decoded.flags == ("bad_bytes",)
    assert decoded.text.count("\ufffd") == 1


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"%PDF-1.7\n" + b"text " * 99, "PDF"),
        (b"PK\x03\x04" + b"mimetypeapplication/epub+zip" * 9, "EPUB"),
        (b"GIF89a" + b"a" * 99, "GIF"),
        (b"\x89PNG\r\n\x1a\n" + b"a" * 99, "PNG"),
        (b"a" * 60 + b"BOOKMOBI" + b"a" * 99, "MOBI"),
        (bytes(range(256)) * 20, "control characters"),
        (b"text with \x00 zeros \x00 " * 50, "control characters"),
    ],
)
def test_binary_files_are_named_in_the_failure(data: bytes, word: str) -> None:
    with pytest.raises(BookError, match=word) as failure:
        decode(data)
    assert failure.value.kind == "binary"
    assert not failure.value.retryable


def test_one_stray_nul_in_a_long_text_is_no_binary() -> None:
    assert binary_kind(ENGLISH.encode() + b"\x00\x1a") == ""


def test_a_false_byte_order_mark_is_undecodable() -> None:
    with pytest.raises(BookError) as failure:
        decode(codecs.BOM_UTF16_LE + b"\x00\xd8" * 400)
    assert failure.value.kind == "undecodable"


@given(st.binary(max_size=400))
def test_any_bytes_end_in_text_or_a_lasting_failure(data: bytes) -> None:
    try:
        outcome = decode(data).encoding
    except BookError as failure:
        outcome = f"{failure.kind} {failure.retryable}"
    assert outcome in {"binary False", "undecodable False"} or codecs.lookup(outcome)


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1))
def test_utf8_comes_back_as_it_was(text: str) -> None:
    assert decode(("Once upon a time " + text).encode()).text == "Once upon a time " + text
