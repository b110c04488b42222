"""Members of zip archives are books: listed from the directory, read by their bytes alone."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import pytest

from raypipe.core.book import Book
from raypipe.core.errors import BookError
from raypipe.sources.archive import ArchiveError, archive_of, read_directory, read_member
from raypipe.sources.listing import list_all, select_below
from raypipe.sources.local import LocalBookSource

BOOKS = {"a.txt": b"text of a", "deep/B.TXT": b"text of b" * 1_000, "cover.jpg": b"x"}


def make_zip(files: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as made:
        for name, data in files.items():
            made.writestr(name, data)
    return buffer.getvalue()


def write(folder: Path, data: bytes, name: str = "shelf.zip") -> LocalBookSource:
    (folder / name).write_bytes(data)
    return LocalBookSource(str(folder), suffixes=[".txt", ".zip"])


@pytest.mark.parametrize(
    "method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2], ids=str
)
def test_each_member_is_a_book(tmp_path: Path, method: int) -> None:
    nested = {"__MACOSX/._a.txt": b"x", "inner.zip": make_zip(BOOKS), "empty/": b""}
    source = write(tmp_path, make_zip({**BOOKS, **nested}, method))
    listing = list_all(source)
    keys = ["shelf.zip!a.txt", "shelf.zip!deep/B.TXT"]
    assert [book.key for book in listing.books] == keys
    assert listing.not_taken == {".jpg": 1, "__MACOSX": 1, "archive in an archive": 1}
    assert [source.read(book) for book in listing.books] == [BOOKS["a.txt"], BOOKS["deep/B.TXT"]]
    assert [book.size for book in listing.books] == [9, 9_000]
    assert all(source.selects(key) for key in keys)
    assert not source.selects("shelf.zip!cover.jpg")


def test_a_changed_member_has_another_etag(tmp_path: Path) -> None:
    source = write(tmp_path, make_zip(BOOKS))
    before = {book.key: book for book in list_all(source).books}
    write(tmp_path, make_zip({**BOOKS, "a.txt": b"another"}))
    after = {book.key: book for book in list_all(source).books}
    assert before["shelf.zip!a.txt"].etag != after["shelf.zip!a.txt"].etag
    with pytest.raises(BookError, match=r"shelf\.zip changed") as caught:
        source.read(before["shelf.zip!a.txt"])
    assert (caught.value.kind, caught.value.retryable) == ("changed", True)


def test_an_epub_with_the_ending_zip_is_a_single_book(tmp_path: Path) -> None:
    source = write(tmp_path, make_zip({"META-INF/container.xml": b"<x/>", "a.txt": b"x"}))
    (book,) = source.list_books()
    assert (book.key, archive_of(book)) == ("shelf.zip", None)


@pytest.mark.parametrize("data", [b"", b"no zip at all", make_zip(BOOKS)[:-30]], ids=len)
def test_a_damaged_archive_is_a_book_that_fails_and_nothing_in_it_is_deleted(
    tmp_path: Path, data: bytes
) -> None:
    listing = list_all(write(tmp_path, data))
    assert [book.key for book in listing.books] == ["shelf.zip"]
    assert [folder.prefix for folder in listing.unlisted] == ["shelf.zip!"]
    known = [("1", "shelf.zip!a.txt"), ("2", "other.zip!a.txt"), ("3", "shelf.zip")]
    assert select_below(known, listing.unlisted) == {"1"}


@pytest.mark.parametrize(
    ("damage", "kind"),
    [
        ({"flag_bits": 1}, "encrypted"),
        ({"CRC": 1}, "damaged"),
        ({"file_size": 3}, "damaged"),
        ({"compress_type": 99}, "damaged"),
        ({"compress_size": 1 << 40}, "damaged"),
        ({"header_offset": 7}, "damaged"),
        ({"filename": "b"}, "gone"),
    ],
    ids=str,
)
def test_a_member_that_cannot_be_read_is_a_failure(damage: dict[str, object], kind: str) -> None:
    data = make_zip({"a.txt": b"text of a" * 100})
    directory = read_directory(lambda start, stop: data[start:stop], len(data))
    (member,) = directory.members.values()
    for name, value in damage.items():
        setattr(member, name, value)
    directory.members.pop("a.txt")
    directory.members[member.filename] = member
    book = next(iter(_books(data)))
    with pytest.raises(BookError) as caught:
        read_member(lambda start, stop: data[start:stop], directory, book)
    assert caught.value.kind == kind


def test_a_large_archive_is_read_in_few_ranges() -> None:
    files = {f"{number}.txt": bytes([number % 251]) * 50_000 for number in range(300)}
    data = make_zip(files, zipfile.ZIP_STORED)
    ranges: list[int] = []

    def fetch(start: int, stop: int) -> bytes:
        ranges.append(stop - start)
        return data[start:stop]

    directory = read_directory(fetch, len(data))
    assert len(ranges) == 1
    book = next(book for book in _books(data) if book.key.endswith("!7.txt"))
    assert read_member(fetch, directory, book) == files["7.txt"]
    assert len(ranges) == 2
    assert sum(ranges) < 120_000


def test_a_directory_that_would_fill_the_memory_is_not_read() -> None:
    data = bytearray(make_zip(BOOKS))
    struct.pack_into("<L", data, data.rfind(b"PK\x05\x06") + 12, 1 << 30)
    with pytest.raises(ArchiveError, match="more than 16,777,216; unpack it"):
        read_directory(lambda start, stop: bytes(data[start:stop]), len(data))


def test_a_bomb_is_decompressed_no_further_than_its_stated_size() -> None:
    data = make_zip({"a.txt": bytes(10_000_000)})
    directory = read_directory(lambda start, stop: data[start:stop], len(data))
    directory.members["a.txt"].file_size = 1_000
    directory.members["a.txt"].compress_size = 900
    with pytest.raises(BookError, match="damaged"):
        read_member(lambda start, stop: data[start:stop], directory, next(iter(_books(data))))


def _books(data: bytes) -> list[Book]:
    crc = zlib.crc32(b"")
    members = read_directory(lambda start, stop: data[start:stop], len(data)).members
    return [
        Book(name, f"shelf.zip!{name}", f"etag!{crc:08x}", member.file_size, 0.0)
        for name, member in members.items()
    ]
