"""The contract of a format, and what a format returns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class BookMetadata:
    """What a file states about its book, as it is written there.

    Attributes:
        title: The title; '' if unknown.
        authors: The authors, each with the given name first where the file tells the order.
        language: A language code or name; '' if unknown.
        date: When the book was published; '' if unknown.
        subjects: Subjects.
    """

    title: str = ""
    authors: tuple[str, ...] = ()
    language: str = ""
    date: str = ""
    subjects: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ExtractedText:
    """The text of a book before it is cleaned.

    Attributes:
        text: Paragraphs separated by blank lines.
        metadata: What the file states about the book.
        encoding: Python's name of the encoding of the text in the file.
        headings: The headings in reading order, each on one line.
        is_wrapped: Whether lines are broken at a width, and not by the author.
        flags: `bad_bytes` if a few bytes were replaced by U+FFFD.
    """

    text: str
    metadata: BookMetadata = field(default_factory=BookMetadata)
    encoding: str = "utf-8"
    headings: tuple[str, ...] = ()
    is_wrapped: bool = False
    flags: tuple[str, ...] = ()


class Format(Protocol):
    """Read the text of a file of one format.

    A format is a dataclass with plain settings: it is made again in a child process. It imports its
    library inside `read`.
    """

    @property
    def endings(self) -> Sequence[str]:
        """Endings of names, in small letters, that are enough where the content is plain text."""

    def recognizes(self, data: bytes) -> bool:
        """Return whether the content alone shows that a file has this format. It must be fast."""

    def read(self, data: bytes, name: str, max_text_bytes: int) -> ExtractedText:
        """Return the text of a file.

        Args:
            data: The whole file.
            name: Its key or path, for messages.
            max_text_bytes: Maximum size of the text, with its markup. A file states the sizes of
                its compressed parts; a reader refuses more before it decompresses them.

        Raises:
            BookError: `damaged`, `encrypted`, `no_text`, `too_large`, `error_page` or another
                kind of `raypipe.ledger.failure_log.KINDS`.
        """
