"""Run all cleaning steps on one book: bytes in, clean text and metadata out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, cast

from raypipe.core.errors import BookError
from raypipe.text.boilerplate import strip_boilerplate
from raypipe.text.chapters import Chapter, find_chapters
from raypipe.text.decode import DecodedText, decode
from raypipe.text.formats.compressed import check_size
from raypipe.text.formats.protocol import BookMetadata, ExtractedText, Format
from raypipe.text.formats.recognize import is_plain_name, is_plain_text
from raypipe.text.isolation import DEADLINE_S, LONG_TEXT, run_in_child
from raypipe.text.language import detect_language
from raypipe.text.line_spacing import (
    close_double_spacing,
    has_wrapped_lines,
    separate_paragraphs,
)
from raypipe.text.metadata import Metadata, format_person_name, read_metadata
from raypipe.text.mojibake import repair_mojibake, repair_tool_version
from raypipe.text.normalize import normalize_characters
from raypipe.text.page_furniture import remove_page_furniture
from raypipe.text.sentences import SPLITTER_VERSION, count_words
from raypipe.text.table_of_contents import remove_contents
from raypipe.text.unwrap import unwrap_lines

CLEANER_VERSION = 3
"""Part of the text recipe. Raise it when the same bytes give a different clean text; finished
books are then processed again."""

_MIN_KEPT_SHARE = 0.7
"""A book that keeps a smaller share of its characters is flagged `trimmed_much`."""
_MAX_DEADLINE_S = 86_400


@dataclass(frozen=True, slots=True)
class TextOrigin:
    """Where a clean text comes from.

    Args:
        key: The object's key; empty if unknown.
        deadline_s: Seconds that a further step on the text may take.
    """

    key: str = ""
    deadline_s: float = DEADLINE_S


@dataclass(frozen=True, slots=True)
class CleanText:
    """The clean text of a book, as summarizers read it.

    Attributes:
        text: The text in NFC with LF line ends. Paragraphs are separated by one blank line; a
            paragraph has line breaks only where the author made them (verse, plays, lists).
        title: The title, never empty; the file name if the book states no title.
        author: The author; empty if unknown.
        language: ISO 639-1 code; `und` if undetermined.
        encoding: Python's name of the encoding of the bytes.
        words: Number of words in `text`.
        flags: Properties worth a look: those of `decode.DecodedText`, `mojibake_repaired`, and
            `trimmed_much` (license, notes and contents were more than 30 % of the file).
        sha256: Hex SHA-256 of `text` in UTF-8. It identifies the content, whatever the key.
        chapters: Spans that cover `text` from start to end; empty if the book has no chapters.
        origin: Where the text comes from.
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
    origin: TextOrigin = TextOrigin()


@dataclass(frozen=True)
class TextCleaner:
    """Turn a book's bytes into clean text.

    Args:
        min_words: A book with fewer words fails as `too_short`.
        max_bytes: A larger text fails as `too_large`.
        deadline_s: Seconds that each step on a book may take; a book that takes longer fails as
            `too_slow`. It holds for books over 200 kB and for other formats than plain text, which
            a child process reads, cleans and splits.
        max_file_bytes: A larger file of another format than plain text, which may hold images,
            fails as `too_large`, and so does what is larger when it is decompressed.
        formats: The formats besides plain text, in the order in which they are tried.

    Raises:
        ValueError: A limit is out of range.
    """

    min_words: int = 50
    max_bytes: int = 20 * 1024 * 1024
    deadline_s: float = DEADLINE_S
    max_file_bytes: int = 64 * 1024 * 1024
    formats: Mapping[str, Format] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the limits."""
        if self.min_words < 0:
            raise ValueError(f"min_words must be 0 or more, not {self.min_words}")
        if self.max_bytes < 1:
            raise ValueError(f"max_bytes must be 1 or more, not {self.max_bytes}")
        # `text.formats.pdf=null` leaves a format out.
        formats = {name: form for name, form in self.formats.items() if form is not None}
        for name, form in formats.items():
            if not all(hasattr(form, member) for member in ("endings", "recognizes", "read")):
                raise ValueError(
                    f"formats.{name} must be a class with the members of "
                    "raypipe.text.formats.Format, given as _target_; null leaves a format out"
                )
        object.__setattr__(self, "formats", formats)
        if self.max_file_bytes < 1:
            raise ValueError(f"max_file_bytes must be 1 or more, not {self.max_file_bytes}")
        if not 0 < self.deadline_s <= _MAX_DEADLINE_S:
            raise ValueError(
                f"deadline_s must be more than 0 and at most {_MAX_DEADLINE_S:,} (a day), not "
                f"{self.deadline_s}"
            )

    def identity(self) -> Mapping[str, Any]:
        """Return everything that changes a clean text or its sentences.

        The limits are left out: they decide which books fail, not how a clean text looks. A
        wider limit must not make users pay again for books that passed.
        """
        return {
            "cleaner": CLEANER_VERSION,
            "splitter": SPLITTER_VERSION,
            "mojibake": repair_tool_version(),
        }

    def clean(self, data: bytes, key: str) -> CleanText:
        """Return the clean text of one book.

        Args:
            data: The whole object.
            key: The object's key; the source of title and author if the text states none.

        Raises:
            BookError: `empty`, `too_large`, `binary`, `undecodable` or `too_short`, or the failure
                of a format, see `raypipe.text.formats.Format`. None is retryable: the book has to
                change first. `too_slow` and `killed_worker` are.
        """
        extracted = None
        if is_plain_text(self.formats.values(), data, key):
            self._check_bytes(data)
        else:
            data, extracted = self._extract(data, key)
        if len(data) <= LONG_TEXT or type(self) is not TextCleaner:
            return self.clean_here(data, key, extracted)
        settings = {"min_words": self.min_words, "deadline_s": self.deadline_s}
        arguments: dict[str, Any] = {"key": key, "settings": settings}
        if extracted is not None:
            arguments["extraction"] = {**asdict(extracted), "text": ""}
        answer, text = run_in_child("clean", data, arguments, self.deadline_s)
        if "failure" in answer:
            raise BookError(**answer["failure"])
        book = answer["book"]
        book["chapters"] = tuple(Chapter(**chapter) for chapter in book["chapters"])
        book["origin"] = TextOrigin(**book["origin"])
        return CleanText(text=text.decode(), **{**book, "flags": tuple(book["flags"])})

    def max_object_bytes(self, key: str) -> int:
        """Return the size up to which an object is read, by its name: text, or another format."""
        is_text = not self.formats or is_plain_name(key)
        return self.max_bytes if is_text else max(self.max_bytes, self.max_file_bytes)

    def _extract(self, data: bytes, key: str) -> tuple[bytes, ExtractedText | None]:
        """Return the text of a file in UTF-8 and what the file states, from the child process.

        A file that is plain text when it is decompressed states nothing.
        """
        check_size(len(data), max(self.max_bytes, self.max_file_bytes), key)
        arguments = {
            "key": key,
            "formats": [
                (f"{type(form).__module__}:{type(form).__qualname__}", asdict(cast(Any, form)))
                for form in self.formats.values()
            ],
            "max_file_bytes": max(self.max_bytes, self.max_file_bytes),
            "max_bytes": self.max_bytes,
        }
        answer, content = run_in_child("extract", data, arguments, self.deadline_s)
        if "failure" in answer:
            raise BookError(**answer["failure"])
        if "extraction" not in answer:
            self._check_bytes(content)
            return content, None
        if not content.strip():
            raise BookError("no_text", f"{key} has no text, only images or nothing at all")
        self._check_bytes(content)
        return content, extraction_from(answer["extraction"], content)

    def clean_here(
        self, data: bytes, key: str, extracted: ExtractedText | None = None
    ) -> CleanText:
        """Return the clean text as `clean` does, without a child process and a deadline.

        The limit of bytes is not checked.

        Args:
            data: The whole object; not read if a format extracted its text.
            key: The object's key.
            extracted: What the format returned; None for plain text.
        """
        if extracted is None:
            decoded, stated = decode(data), None
        else:
            decoded = DecodedText(extracted.text, extracted.encoding, extracted.flags)
            stated = _stated(extracted)
        repaired, is_repaired = repair_mojibake(decoded.text)
        is_wrapped = extracted is None or extracted.is_wrapped
        whole = remove_page_furniture(normalize_characters(repaired), is_wrapped=is_wrapped)
        spaced = separate_paragraphs(close_double_spacing(whole))
        # A reader's lines are the author's, unless each line of a page was made a paragraph.
        is_wrapped = is_wrapped or spaced != whole or has_wrapped_lines(spaced)
        stripped = strip_boilerplate(spaced)
        contents = remove_contents(stripped.body)
        text = unwrap_lines(contents.body, is_wrapped=is_wrapped)
        words = self._count_words(text)
        metadata = read_metadata(stripped.header, stripped.body, key, stated)
        titles = (*contents.titles, *(extracted.headings if extracted else ()))
        flags = {
            "mojibake_repaired": is_repaired,
            "trimmed_much": len(contents.body) < _MIN_KEPT_SHARE * len(spaced),
        }
        return CleanText(
            text=text,
            title=metadata.title,
            author=metadata.author,
            language=detect_language(text, metadata.language),
            encoding=decoded.encoding,
            words=words,
            flags=(*decoded.flags, *(flag for flag, is_set in flags.items() if is_set)),
            sha256=hashlib.sha256(text.encode()).hexdigest(),
            chapters=find_chapters(text, titles),
            origin=TextOrigin(key, self.deadline_s),
        )

    def _check_bytes(self, data: bytes) -> None:
        if not data.strip():
            raise BookError("empty", f"the file has {len(data):,} bytes, all of them white space")
        if len(data) > self.max_bytes:
            raise BookError(
                "too_large",
                f"{len(data):,} bytes, more than max_bytes={self.max_bytes:,}; "
                "raise the limit or split the book",
            )

    def _count_words(self, text: str) -> int:
        words = count_words(text)
        if not words:
            raise BookError("empty", "the file has no words besides license and markers")
        if words < self.min_words:
            raise BookError("too_short", f"{words} words, fewer than min_words={self.min_words}")
        return words


def extraction_from(cells: Mapping[str, Any], text: bytes) -> ExtractedText:
    """Return what a format extracted, from plain values and its text in UTF-8."""
    stated = cells["metadata"]
    names = {name: tuple(stated[name]) for name in ("authors", "subjects")}
    lists = {name: tuple(cells[name]) for name in ("headings", "flags")}
    metadata = BookMetadata(**{**stated, **names})
    return ExtractedText(**{**cells, **lists, "metadata": metadata, "text": text.decode()})


def _stated(extracted: ExtractedText) -> Metadata:
    metadata = extracted.metadata
    authors = ", ".join(format_person_name(name) for name in metadata.authors if name.strip())
    return Metadata(" ".join(metadata.title.split()), authors, metadata.language)
