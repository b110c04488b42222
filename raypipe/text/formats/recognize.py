"""Find the format of a file: first by its content, then by its name."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from dataclasses import dataclass

from raypipe.text.formats.compressed import (
    COMPRESSIONS,
    decompress,
    is_zip,
    read_single_member,
)
from raypipe.text.formats.protocol import Format

PLAIN_ENDINGS = (".txt", ".text", ".md", ".markdown", ".html", ".htm", ".xhtml", ".xht")
"""Endings of files that are text: their size is the size of their text."""
_MAGICS = tuple(magic for form in COMPRESSIONS for magic in form.magics)


@dataclass(frozen=True, slots=True)
class OpenedFile:
    """A file without its compression, and its format.

    Attributes:
        data: The content.
        name: The name that tells the format, without the ending of the compression.
        format: The format; None for plain text, or for what no format recognizes.
    """

    data: bytes
    name: str
    format: Format | None


def is_plain_name(name: str) -> bool:
    """Return whether a name is that of a plain text file; its content may be something else."""
    return posixpath.splitext(name)[1].lower() in PLAIN_ENDINGS


def is_plain_text(formats: Iterable[Format], data: bytes, name: str) -> bool:
    """Return whether neither content nor name say that a file is anything but plain text.

    It is called for each book in the process of the worker, so it opens no archive.
    """
    if data.startswith(_MAGICS) or is_zip(data):
        return False
    ending = posixpath.splitext(name)[1].lower()
    return not any(ending in form.endings or form.recognizes(data) for form in formats)


def open_file(formats: Iterable[Format], data: bytes, name: str, limit: int) -> OpenedFile:
    """Decompress a file and find its format.

    Args:
        formats: The formats, in the order in which they are tried.
        data: The whole file.
        name: Its key or path.
        limit: Maximum bytes of the content.

    Raises:
        BookError: The file is compressed, and `too_large`, `damaged`, `encrypted` or an `archive`.
    """
    if data.startswith(_MAGICS):
        data, name = decompress(data, name, limit)
    found = next((form for form in formats if form.recognizes(data)), None)
    if found is None and is_zip(data):
        data, name = read_single_member(data, name, limit)
        if data.startswith(_MAGICS):
            data, name = decompress(data, name, limit)
        found = next((form for form in formats if form.recognizes(data)), None)
    if found is None:
        ending = posixpath.splitext(name)[1].lower()
        found = next((form for form in formats if ending in form.endings), None)
    return OpenedFile(data, name, found)
