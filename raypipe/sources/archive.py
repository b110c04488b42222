"""Books in zip archives: each member is a book with the key `archive.zip!member`.

A listing reads only the directory at the end of an archive, and reading a book only its bytes.
"""

from __future__ import annotations

import bz2
import struct
import threading
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from raypipe.core.book import Book, book_id
from raypipe.core.errors import BookError
from raypipe.sources.key_filter import NotTaken, is_archive, split_member
from raypipe.state.range_reader import RangeReader

TAIL_BYTES = 64 * 1024 + 1_024
"""Bytes at the end of an archive that hold the end record, whatever its comment."""
MAX_DIRECTORY_BYTES = 16 * 1024 * 1024
"""An archive with a larger directory, of about 200,000 members, is not listed: it would take more
than 100 MB of memory."""
NESTED = "archive in an archive"
DAMAGED = "damaged"

_END = b"PK\x05\x06"
_END_64 = b"PK\x06\x07"
_LOCAL_HEADER = 30
_LOCAL_EXTRA = 2_048
"""Bytes to read for the name and the extra fields of a local header; more are read if needed."""
_SINGLE_BOOK = ("META-INF/container.xml", "word/document.xml")
"""Members that show that a zip archive is itself a book: an EPUB or a DOCX."""
_DAMAGE = (
    *(zipfile.BadZipFile, struct.error, ValueError, KeyError, IndexError, OverflowError, EOFError),
    NotImplementedError,
)

Fetch = Callable[[int, int], bytes]
"""Returns the bytes of an archive from a start up to a stop position."""


class ArchiveError(Exception):
    """An archive whose members cannot be listed; the message is the reason."""


@dataclass(frozen=True)
class Archive:
    """An archive as the listing of its source describes it.

    Args:
        source: Identity of the source.
        book: The archive as if it was a book.
    """

    source: str
    book: Book

    def list_members(
        self,
        directory: Directory,
        selects: Callable[[str], bool],
        not_taken: NotTaken,
    ) -> Iterator[Book]:
        """Yield the books in the archive; the archive itself if it is an EPUB or a DOCX.

        Args:
            directory: Its directory.
            selects: Whether a name is that of a book; counts the others.
            not_taken: Counts archives in the archive.
        """
        if any(name in directory.members for name in _SINGLE_BOOK):
            yield self.book
            return
        book = self.book
        for name, member in directory.members.items():
            if is_archive(name):
                not_taken.add(NESTED)
            elif selects(name):
                key, etag = f"{book.key}!{name}", f"{book.etag}!{member.CRC:08x}"
                size = member.file_size
                yield Book(book_id(self.source, key), key, etag, size, book.modified)


@dataclass(frozen=True)
class Directory:
    """The members of an archive.

    Args:
        members: What the directory tells of each member, by its name.
        size: Size of the archive in bytes.
    """

    members: dict[str, zipfile.ZipInfo]
    size: int


_directories: OrderedDict[tuple[str, str, str], Directory] = OrderedDict()
_lock = threading.Lock()
_MAX_DIRECTORIES = 2
"""Directories that a process keeps; 100,000 members take about 50 MB."""


def open_directory(
    source: str, archive: Book, fetch: Fetch, find_size: Callable[[], int]
) -> Directory:
    """Return the directory of an archive; a process reads it once for many books.

    Args:
        source: Identity of the source.
        archive: Key and ETag of the archive.
        fetch: Reads the archive.
        find_size: Returns the size of the archive in bytes.

    Raises:
        BookError: `damaged`.
    """
    key = (source, archive.key, archive.etag)
    with _lock:  # threads that read books of one archive wait for the first
        if key not in _directories:
            try:
                _directories[key] = read_directory(fetch, find_size())
            except ArchiveError as error:
                raise BookError("damaged", f"{archive.key}: {error}") from None
            while len(_directories) > _MAX_DIRECTORIES:
                _directories.popitem(last=False)
        _directories.move_to_end(key)
        return _directories[key]


def archive_of(book: Book) -> Book | None:
    """Return the archive that holds a book; None for a book that is no member of an archive."""
    parts = split_member(book.key)
    if parts is None or "!" not in book.etag:
        return None
    return replace(book, key=parts[0], etag=book.etag.rpartition("!")[0])


def read_directory(fetch: Fetch, size: int) -> Directory:
    """Read the directory of an archive.

    Raises:
        ArchiveError: It is damaged or too large.
    """
    tail = fetch(max(0, size - TAIL_BYTES), size)
    _check_directory_size(tail)
    reader: Any = RangeReader(fetch, tail, size)
    try:
        with zipfile.ZipFile(reader) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
    except _DAMAGE as error:
        raise ArchiveError(f"{DAMAGED}: {error}") from None
    return Directory({member.filename: member for member in members}, size)


def read_member(fetch: Fetch, directory: Directory, book: Book) -> bytes:
    """Return the bytes of a book in an archive.

    Raises:
        BookError: It is `encrypted` or `damaged`, or no longer in the archive (`gone`).
    """
    parts = split_member(book.key)
    member = directory.members.get(parts[1]) if parts else None
    if member is None:
        raise BookError("gone", f"{book.key} is no longer in the archive", retryable=True)
    if member.flag_bits & 1:
        raise BookError("encrypted", f"{book.key} needs a password")
    if member.compress_size > 1.01 * member.file_size + 1_024:
        raise BookError("damaged", f"{book.key} in the archive is damaged: wrong sizes")
    try:
        data = _decompress(_read_compressed(fetch, member, directory.size), member, book)
    except (zlib.error, *_DAMAGE, OSError) as error:
        raise BookError("damaged", f"{book.key} in the archive is damaged: {error}") from None
    if len(data) != member.file_size or zlib.crc32(data) != member.CRC:
        raise BookError("damaged", f"{book.key} in the archive is damaged: wrong checksum")
    return data


def _check_directory_size(tail: bytes) -> None:
    at = tail.rfind(_END)
    if at < 0 or len(tail) < at + 22:
        raise ArchiveError(f"{DAMAGED}: it has no directory at its end")
    (size,) = struct.unpack_from("<L", tail, at + 12)
    is_zip64 = size == 0xFFFFFFFF or tail.rfind(_END_64, 0, at) >= 0
    if is_zip64 and (record := tail.rfind(b"PK\x06\x06", 0, at)) >= 0 and len(tail) > record + 48:
        (size,) = struct.unpack_from("<Q", tail, record + 40)
    if size > MAX_DIRECTORY_BYTES:
        raise ArchiveError(
            f"its directory has {size:,} bytes, more than {MAX_DIRECTORY_BYTES:,}; unpack it"
        )


def _read_compressed(fetch: Fetch, member: zipfile.ZipInfo, size: int) -> bytes:
    """Return the compressed bytes of a member, usually with a single request."""
    start = member.header_offset
    stop = min(size, start + _LOCAL_HEADER + _LOCAL_EXTRA + member.compress_size)
    block = fetch(start, stop)
    if block[:4] != b"PK\x03\x04":
        raise zipfile.BadZipFile("its header is missing")
    name_size, extra_size = struct.unpack_from("<HH", block, 26)
    begin = _LOCAL_HEADER + name_size + extra_size
    end = begin + member.compress_size
    if end > len(block):
        block += fetch(stop, min(size, start + end))
    return block[begin:end]


def _decompress(data: bytes, member: zipfile.ZipInfo, book: Book) -> bytes:
    """Decompress no more than the size that the directory states."""
    limit = member.file_size + 1
    if member.compress_type == zipfile.ZIP_STORED:
        return data
    if member.compress_type == zipfile.ZIP_DEFLATED:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, limit)
    if member.compress_type == zipfile.ZIP_BZIP2:
        return bz2.BZ2Decompressor().decompress(data, limit)
    raise BookError(
        "damaged", f"{book.key} is compressed by the method {member.compress_type}; use deflate"
    )
