"""PDF files with text, read by the package pypdfium2."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from raypipe.core.errors import BookError
from raypipe.text.formats.extras import import_reader
from raypipe.text.formats.pdf_layout import Line, join_pages
from raypipe.text.formats.protocol import BookMetadata, ExtractedText

_MAGIC_BYTES = 1_024
_MIN_CHARS_PER_PAGE = 20
"""Pages of a scan have fewer characters: a number, or the mark of a library."""
_MAX_PAGES = 20_000
_LINE = re.compile("([^\r\n\x02\ufffe]*)(\r\n|[\r\n\x02\ufffe]|$)")
"""A line and its end. PDFium puts a mark in the place of a hyphen and the line end after it."""
_LETTERS = re.compile("[^\\W_\u2e80-\uffff]{2}")
_WORD_GAP, _LETTER_GAP, _MAX_OVERLAP = 0.2, 0.12, -0.5
"""Gaps in heights of the characters: more is a space, less is none, unless it is another direction.
Measured with Ghostscript and groff: 0.28 and more between words, 0.10 and less in them."""
_PASSWORD = re.compile(r"password|security", re.I)
_NOT_A_TITLE = re.compile(
    r"microsoft word|untitled|unknown|.*\.(?:docx?|indd|tex|dvi|pdf|rtf|odt|qxd|ps)$", re.I
)


@dataclass(frozen=True)
class PdfFormat:
    """Read the text of PDF files by column, without running heads and page numbers.

    Needs `raypipe[pdf]`.
    """

    @property
    def endings(self) -> tuple[str, ...]:
        """Return none: a file without the content of a PDF is none."""
        return ()

    def recognizes(self, data: bytes) -> bool:
        """Return whether a file begins as a PDF; some have a few bytes before."""
        return b"%PDF-" in data[:_MAGIC_BYTES] and not data[:1].isalnum()

    def read(self, data: bytes, name: str, max_text_bytes: int) -> ExtractedText:
        """Return the text of a file.

        Raises:
            BookError: `encrypted`, `damaged`, `no_text`, `too_large` or `no_reader`.
        """
        pdfium = import_reader("pypdfium2", "pdf", name)
        try:
            with closing(pdfium.PdfDocument(data)) as document:
                pages = list(_pages(document, name, max_text_bytes))
                stated = document.get_metadata_dict()
        except pdfium.PdfiumError as error:
            if _PASSWORD.search(str(error)):
                raise BookError("encrypted", f"{name} is a PDF with a password") from None
            raise BookError("damaged", f"{name}: the PDF is damaged: {error}") from None
        characters = sum(len(line.text) for page in pages for line in page)
        if characters < _MIN_CHARS_PER_PAGE * max(1, len(pages)):
            raise BookError(
                "no_text",
                f"{name} has {characters:,} characters on {len(pages):,} pages: these are images",
            )
        return ExtractedText(join_pages(pages), _metadata(stated))


def _pages(document: Any, name: str, max_text_bytes: int) -> Iterator[list[Line]]:
    if len(document) > _MAX_PAGES:
        raise BookError("too_large", f"{name} has {len(document):,} pages; split the book")
    size = 0
    for number in range(len(document)):
        page = document[number]
        text = page.get_textpage()
        lines = _lines(text)
        size += sum(len(line.text) for line in lines)
        text.close()
        page.close()
        if size > max_text_bytes:
            raise BookError(
                "too_large", f"{name} has more than text.max_bytes={max_text_bytes:,} of text"
            )
        yield lines


def _lines(text: Any) -> list[Line]:
    """Return the lines of a page in the order of its content.

    PDFium finds words and line ends; the places of the first and the last character of a line are
    those of the line.
    """
    lines: list[Line] = []
    for match in _LINE.finditer(text.get_text_range()):
        piece = match[1]
        words = piece.strip()
        if not words:
            continue
        first = match.start() + len(piece) - len(piece.lstrip())
        left, bottom, _, top = text.get_charbox(first, loose=True)
        _, _, right, _ = text.get_charbox(first + len(words) - 1, loose=True)
        hyphen = "" if match[2] in {"", "\r\n"} else "-"
        spaced = _space_words(text, first, words, top - bottom)
        lines.append(Line(spaced + hyphen, left, bottom, right, top))
    return lines


def _space_words(text: Any, first: int, words: str, height: float) -> str:
    """Return a line with its spaces where there are gaps.

    PDFium misses spaces that are gaps without a character, and takes kerning for spaces. Between
    letters of scripts without spaces the gaps mean nothing.
    """
    if not height > 0:  # a damaged font
        return words
    characters: list[str] = []
    has_space, edge = False, 0.0
    for position, character in enumerate(words, first):
        if character == " ":
            has_space = True
            continue
        left, _, right, _ = text.get_charbox(position)
        if characters:
            gap = (left - edge) / height
            if _LETTERS.fullmatch(characters[-1] + character):
                has_space = gap > _WORD_GAP or (has_space and not _MAX_OVERLAP < gap < _LETTER_GAP)
            if has_space:
                characters.append(" ")
        characters.append(character)
        has_space, edge = False, right
    return "".join(characters)


def _metadata(stated: dict[str, str]) -> BookMetadata:
    title, author = (" ".join(stated.get(name, "").split()) for name in ("Title", "Author"))
    if _NOT_A_TITLE.match(title):
        title = ""
    subjects = [part.strip() for part in stated.get("Keywords", "").split(",")]
    date = re.match(r"(?:D:)?(\d{4})", stated.get("CreationDate", ""))
    return BookMetadata(
        title=title,
        authors=(author,) if author else (),
        date=date[1] if date else "",
        subjects=tuple(filter(None, subjects)),
    )
