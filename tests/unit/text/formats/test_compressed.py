"""Compressed files are opened in bounded memory; a damaged file is a failure."""

from __future__ import annotations

import bz2
import gzip
import zipfile
from collections.abc import Callable
from io import BytesIO

import pyarrow as pa
import pytest

from raypipe.core.errors import BookError
from raypipe.ledger.failure_log import KINDS
from raypipe.text import TextCleaner
from raypipe.text.formats.compressed import decompress
from raypipe.text.formats.markdown import MarkdownFormat
from raypipe.text.formats.recognize import is_plain_text
from tests.unit.text.formats.books import PARAGRAPH, make_zip

BOOK = "\n\n".join([PARAGRAPH] * 20).encode()


def zstd(data: bytes) -> bytes:
    buffer = pa.BufferOutputStream()
    with pa.CompressedOutputStream(buffer, "zstd") as stream:
        stream.write(data)
    return buffer.getvalue().to_pybytes()


COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "zst": zstd,
}


def kind_of(data: bytes, name: str, **settings: int) -> str:
    with pytest.raises(BookError) as caught:
        TextCleaner(**settings).clean(data, name)  # type: ignore[arg-type]
    assert caught.value.kind in KINDS
    assert not caught.value.retryable
    return caught.value.kind


@pytest.mark.parametrize("ending", COMPRESS)
def test_a_compressed_text_is_the_same_book(ending: str) -> None:
    compress, plain = COMPRESS[ending], TextCleaner().clean(BOOK, "The_Lamp.txt")
    for name in (f"The_Lamp.txt.{ending}", "The_Lamp.txt"):
        book = TextCleaner().clean(compress(BOOK), name)
        assert (book.text, book.title) == (plain.text, "The Lamp")
    twice = decompress(compress(BOOK) + compress(BOOK), "a", 1 << 20)
    assert twice == (BOOK + BOOK, "a")
    assert decompress(compress(compress(b"x")), f"a.{ending}.{ending}", 999) == (b"x", "a")


@pytest.mark.parametrize("ending", COMPRESS)
def test_a_compressed_file_that_is_cut_is_damaged(ending: str) -> None:
    data = COMPRESS[ending](BOOK)
    for stop in (len(data) - 5, len(data) // 2, 12):
        assert kind_of(data[:stop], f"a.{ending}") == "damaged"


@pytest.mark.parametrize("ending", COMPRESS)
def test_a_bomb_is_too_large(ending: str) -> None:
    bomb = COMPRESS[ending](bytes(8_000_000))
    assert len(bomb) < 100_000
    assert kind_of(bomb, f"a.{ending}", max_bytes=100_000, max_file_bytes=2_000_000) == "too_large"
    text = COMPRESS[ending](BOOK * 2_000)  # decompressed, it is a text that is too large
    assert kind_of(text, f"a.{ending}", max_bytes=1_000_000) == "too_large"


def test_a_zip_archive_with_a_single_file_is_this_file() -> None:
    data = make_zip({"x/The_Lamp.txt": BOOK, "__MACOSX/x/._The_Lamp.txt": b"x", "x/": b""})
    assert TextCleaner().clean(data, "book").words == TextCleaner().clean(BOOK, "book").words
    assert kind_of(make_zip({"a.txt": BOOK, "b.txt": BOOK}), "a.txt") == "archive"
    assert kind_of(data[:-40], "a.txt") == "damaged"
    assert kind_of(make_zip({}), "a.txt") == "archive"
    office = {"mimetype": "application/vnd.oasis.opendocument.text", "META-INF/manifest.xml": ""}
    assert kind_of(make_zip(office), "a.odt") == "binary"


def test_an_encrypted_zip_archive_is_a_failure() -> None:
    data = bytearray(make_zip({"a.txt": BOOK}))
    with zipfile.ZipFile(BytesIO(data)) as archive:
        directory = archive.start_dir
    data[6] |= 1
    data[directory + 8] |= 1
    assert kind_of(bytes(data), "a.zip") == "encrypted"


def test_text_goes_no_other_way_than_before() -> None:
    formats = (MarkdownFormat(),)
    for data in (
        BOOK,
        b"",
        b"BZh12 is a text",
        b"PK",
        b"\x1f",
        "PK é".encode("cp1252"),
        b"\xff\xfeA\0",
    ):
        assert is_plain_text(formats, data, "a.txt")
    assert not is_plain_text(formats, BOOK, "A.MD")


def test_a_format_is_no_part_of_the_identity() -> None:
    assert (
        TextCleaner(formats={"markdown": MarkdownFormat()}).identity() == TextCleaner().identity()
    )
    assert not TextCleaner(formats={"markdown": None}).formats  # type: ignore[dict-item]
    with pytest.raises(ValueError, match=r"formats\.markdown must be a class with the members"):
        TextCleaner(formats={"markdown": 5})  # type: ignore[dict-item]


def test_the_size_of_an_object_is_limited_by_its_name() -> None:
    cleaner = TextCleaner(formats={"markdown": MarkdownFormat()})
    names = ("a.txt", "A.HTML", "a.md", "a.epub", "a.pdf", "a.txt.gz", "a")
    sizes = [cleaner.max_object_bytes(name) >> 20 for name in names]
    assert sizes == [20, 20, 20, 64, 64, 64, 64]
