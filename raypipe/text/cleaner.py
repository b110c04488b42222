"""The text part: a book's bytes in, clean text with its metadata out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from raypipe.core.errors import BookError
from raypipe.text.boilerplate import strip_boilerplate
from raypipe.text.chapters import Chapter, find_chapters
from raypipe.text.contents import without_contents
from raypipe.text.decode import decode
from raypipe.text.language import detect_language
from raypipe.text.metadata import read_metadata
from raypipe.text.mojibake import repair_mojibake, repairer
from raypipe.text.normalize import normalize_characters, unwrap
from raypipe.text.sentences import SPLITTER_VERSION, count_words

CLEANER_VERSION = 2
"""Raise it when the same bytes give another clean text: finished books are then done again."""

_LITTLE = 0.7
"""A book of which less is left is worth a look (`trimmed_much`)."""


@dataclass(frozen=True, slots=True)
class CleanText:
    """A book as the summarizers read it.

    Attributes:
        text: NFC, LF, paragraphs parted by one blank line, lines only where the author broke
            them (verse, plays, lists).
        title: Never empty: at worst the file's name.
        author: Empty if nothing names one.
        language: ISO 639-1 code, `und` if it cannot be told.
        encoding: Python's name of the encoding the bytes were in.
        words: Number of words in `text`.
        flags: What a person may want to look at: `bad_bytes`, `mojibake_repaired`,
            `trimmed_much` (licence, notes and contents were more than 30 % of the file).
        sha256: Hex hash of `text` in UTF-8: the content's identity, whatever the key.
        chapters: Spans that cover `text` from begin to end; empty if the book has none.
    """

    text: str
    title: str
    author: str
    language: str
    encoding: str
    words: int
    flags: tuple[str, ...]
    sha256: str
    chapters: tuple[Chapter, ...] = ()


@dataclass(frozen=True)
class TextCleaner:
    """Turns a book's bytes into clean text.

    Args:
        min_words: A book with fewer words fails as `too_short`.
        max_bytes: A larger object fails as `too_large`.
    """

    min_words: int = 50
    max_bytes: int = 20 * 1024 * 1024

    def __post_init__(self) -> None:
        """Refuse settings that no book could meet."""
        if self.min_words < 0:
            raise ValueError(f"min_words must be 0 or more, not {self.min_words}")
        if self.max_bytes < 1:
            raise ValueError(f"max_bytes must be 1 or more, not {self.max_bytes}")

    def identity(self) -> Mapping[str, Any]:
        """Return what changes a clean text or its sentences.

        The limits are left out: they decide which books fail, not what a clean text is, and
        a wider limit must not make anyone pay again for the books that passed.
        """
        return {
            "cleaner": CLEANER_VERSION,
            "splitter": SPLITTER_VERSION,
            "mojibake": repairer(),
        }

    def clean(self, data: bytes, key: str) -> CleanText:
        """Return the clean text of one book.

        Args:
            data: The whole object.
            key: Its key, asked for title and author where the text does not tell.

        Raises:
            BookError: `empty`, `too_large`, `binary`, `undecodable` or `too_short`; none may
                pass without the book changing.
        """
        self._check_bytes(data)
        decoded = decode(data)
        repaired, was_mojibake = repair_mojibake(decoded.text)
        whole = normalize_characters(repaired)
        stripped = strip_boilerplate(whole)
        contents = without_contents(stripped.body)
        text = unwrap(contents.body)
        words = self._check_words(text)
        metadata = read_metadata(stripped.header, stripped.body, key)
        flags = {
            "mojibake_repaired": was_mojibake,
            "trimmed_much": len(contents.body) < _LITTLE * len(whole),
        }
        return CleanText(
            text=text,
            title=metadata.title,
            author=metadata.author,
            language=detect_language(text, metadata.language),
            encoding=decoded.encoding,
            words=words,
            flags=(*decoded.flags, *(flag for flag, seen in flags.items() if seen)),
            sha256=hashlib.sha256(text.encode()).hexdigest(),
            chapters=find_chapters(text, contents.titles),
        )

    def _check_bytes(self, data: bytes) -> None:
        if not data.strip():
            raise BookError("empty", f"nothing in it but {len(data):,} bytes of white space")
        if len(data) > self.max_bytes:
            raise BookError(
                "too_large",
                f"{len(data):,} bytes, more than max_bytes={self.max_bytes:,}; "
                "raise the limit or split the book",
            )

    def _check_words(self, text: str) -> int:
        words = count_words(text)
        if not words:
            raise BookError("empty", "no word is left once licence and markers are taken away")
        if words < self.min_words:
            raise BookError("too_short", f"{words} words, fewer than min_words={self.min_words}")
        return words
