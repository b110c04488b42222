"""Open compressed files in bounded memory: gzip, bzip2, zstd, and zip archives with one file."""

from __future__ import annotations

import bz2
import io
import lzma
import posixpath
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from raypipe.core.errors import BookError

_CHUNK = 1 << 20
_MAX_LAYERS = 3
ZIP_MAGIC = b"PK\x03\x04"
_EMPTY_ZIP = b"PK\x05\x06"
_GZIP = (b"\x1f\x8b\x08",)
_BZIP2 = tuple(b"BZh%d1AY&SY" % size for size in range(1, 10))
_OFFICE_PARTS = frozenset({"META-INF/manifest.xml", "[Content_Types].xml"})
"""Members of documents such as ODT and PPTX, which are zip archives, too."""

DAMAGE = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, OSError),
    *(ValueError, KeyError, IndexError, OverflowError, NotImplementedError),
)
"""What the libraries raise for a damaged archive."""


@dataclass(frozen=True, slots=True)
class Compression:
    """A compressed form of a single file.

    Args:
        name: Its name, for messages.
        magics: The first bytes: each file begins with one of them.
        endings: Endings of names that are removed with the compression.
        decompress: Returns at most `limit + 1` bytes of the content.
    """

    name: str
    magics: tuple[bytes, ...]
    endings: tuple[str, ...]
    decompress: Callable[[bytes, int], bytes]


def decompress(data: bytes, name: str, limit: int) -> tuple[bytes, str]:
    """Return the content of a file and its name; both unchanged if it is not compressed.

    Args:
        data: The whole file.
        name: Its key or path.
        limit: Maximum bytes of the content.

    Raises:
        BookError: `too_large`, `damaged`.
    """
    for _ in range(_MAX_LAYERS):
        found = next((form for form in COMPRESSIONS if data.startswith(form.magics)), None)
        if found is None:
            return data, name
        try:
            data = found.decompress(data, limit)
        except DAMAGE as error:
            raise BookError(
                "damaged", f"{name}: the {found.name} file is damaged: {error}"
            ) from None
        check_size(len(data), limit, name)
        stem, ending = posixpath.splitext(name)
        name = stem if ending.lower() in found.endings else name
    return data, name


def open_zip(data: bytes, name: str) -> zipfile.ZipFile:
    """Open a zip archive.

    Raises:
        BookError: `damaged`.
    """
    try:
        return zipfile.ZipFile(io.BytesIO(data))
    except DAMAGE as error:
        raise BookError("damaged", f"{name}: the zip archive is damaged: {error}") from None


def names_of(data: bytes) -> frozenset[str]:
    """Return the names of the members of a zip archive; none if it is damaged."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return frozenset(archive.namelist())
    except DAMAGE:
        return frozenset()


def read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str, limit: int) -> bytes:
    """Return the content of a member of an archive.

    Raises:
        BookError: `too_large`, `encrypted` or `damaged`.
    """
    check_size(member.file_size, limit, f"{name}: {member.filename}")
    if member.flag_bits & 1:
        raise BookError("encrypted", f"{name}: {member.filename} needs a password")
    try:
        return archive.read(member)  # stops at the size that was checked
    except (RuntimeError, *DAMAGE) as error:
        reason = f"{name}: {member.filename} in the zip archive is damaged: {error}"
        raise BookError("damaged", reason) from None


def check_size(size: int, limit: int, name: str, option: str = "max_file_bytes") -> None:
    """Raise `BookError` of kind `too_large` if a content has more than `limit` bytes.

    Args:
        size: Its size in bytes.
        limit: The limit.
        name: Its name, for the message.
        option: The option of `text` that sets the limit.
    """
    if size > limit:
        raise BookError(
            "too_large",
            f"{name} has more than {limit:,} bytes, also when it is decompressed; raise "
            f"text.{option}, or split the book",
        )


def read_single_member(data: bytes, name: str, limit: int) -> tuple[bytes, str]:
    """Return content and name of the only file in a zip archive.

    Raises:
        BookError: `archive` if there are other files, `binary` if it is an office document, and
            the errors of `read_member`.
    """
    with open_zip(data, name) as archive:
        members = [member for member in archive.infolist() if is_file(member)]
        if _OFFICE_PARTS & {member.filename for member in members}:
            raise BookError(
                "binary", f"{name} is a document of an office program; save it as DOCX or PDF"
            )
        if len(members) != 1:
            raise BookError(
                "archive",
                f"{name} is a zip archive of {len(members):,} files; rename it to .zip, so that "
                "each of them is a book",
            )
        return read_member(archive, members[0], name, limit), members[0].filename


def is_zip(data: bytes) -> bool:
    """Return whether the first bytes are those of a zip archive."""
    return data.startswith((ZIP_MAGIC, _EMPTY_ZIP))


def is_file(member: zipfile.ZipInfo) -> bool:
    """Return whether a member is a file, and no leftover of an operating system."""
    base = posixpath.basename(member.filename)
    is_left_behind = base.startswith("._") or "__MACOSX/" in member.filename or base == ".DS_Store"
    return not member.is_dir() and not is_left_behind


def _gunzip(data: bytes, limit: int) -> bytes:
    return _run(data, limit, lambda: zlib.decompressobj(wbits=31), _GZIP)


def _bunzip2(data: bytes, limit: int) -> bytes:
    return _run(data, limit, bz2.BZ2Decompressor, _BZIP2)


def _run(data: bytes, limit: int, start: Callable[[], Any], magics: tuple[bytes, ...]) -> bytes:
    """Decompress all streams of a file; what follows the last stream is ignored."""
    output: list[bytes] = []
    size, rest = 0, data
    while rest.startswith(magics) and size <= limit:
        stream = start()
        while not stream.eof and size <= limit:
            chunk = stream.decompress(rest, _CHUNK)
            # zlib hands back what it has not read, bz2 keeps it.
            rest = getattr(stream, "unconsumed_tail", b"")
            if not chunk and not rest and not stream.eof:
                raise EOFError("it ends too early")
            output.append(chunk)
            size += len(chunk)
        rest = stream.unused_data
    return b"".join(output)[: limit + 1]


def _decompress_zstd(data: bytes, limit: int) -> bytes:
    import pyarrow as pa

    with pa.CompressedInputStream(pa.BufferReader(data), "zstd") as stream:
        content: bytes = stream.read(limit + 1)
    return content


COMPRESSIONS = (
    Compression("gzip", _GZIP, (".gz", ".gzip"), _gunzip),
    Compression("bzip2", _BZIP2, (".bz2", ".bzip2"), _bunzip2),
    Compression("zstd", (b"\x28\xb5\x2f\xfd",), (".zst", ".zstd"), _decompress_zstd),
)
