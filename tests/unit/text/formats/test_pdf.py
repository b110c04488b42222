"""PDF files are read by column, without running heads; scans and damaged files are failures."""

from __future__ import annotations

import sys

import pytest

from raypipe.core.errors import BookError
from raypipe.text import TextCleaner
from raypipe.text.formats import ExtractedText
from raypipe.text.formats.pdf import PdfFormat
from tests.unit.text.formats.books import PARAGRAPH, make_pdf

Lines = list[tuple[float, float, str]]


def text_of(number: int, place: int) -> str:
    """Return a paragraph with a word that no other has: equal lines would be running heads."""
    return PARAGRAPH.replace("keeper", f"{chr(96 + number)}{chr(97 + place)}eeper")


def page(number: int, *, columns: int = 1) -> Lines:
    """Return a page with ten paragraphs of two lines in each column."""
    lines: Lines = [(250, 750, f"THE LAMP {number}"), (300, 40, str(number))]
    for place in range(10 * columns):
        words = text_of(number, place).split()
        x, y = 72 + 260 * (place // 10), 700 - 24 * (place % 10)
        lines.append((x + 12, y, " ".join(words[:6])))
        lines.append((x, y - 12, " ".join(words[6:])))
    return lines


def read(data: bytes) -> ExtractedText:
    return PdfFormat().read(data, "lamp.pdf", 1 << 20)


@pytest.mark.parametrize("columns", [1, 2])
def test_paragraphs_are_read_by_column(columns: int) -> None:
    pytest.importorskip("pypdfium2")
    extracted = read(make_pdf([page(number, columns=columns) for number in range(1, 6)]))
    assert extracted.text.split("\n\n") == [
        text_of(number, place) for number in range(1, 6) for place in range(10 * columns)
    ]


def test_the_document_states_the_metadata() -> None:
    pytest.importorskip("pypdfium2")
    metadata = read(make_pdf([page(1)], title="The Lamp")).metadata
    assert (metadata.title, metadata.authors, metadata.date) == (
        "The Lamp",
        ("Ada Keeper",),
        "1901",
    )
    assert not read(make_pdf([page(1)], title="Microsoft Word - lamp.doc")).metadata.title


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (make_pdf([[(300, 40, str(number))] for number in range(1, 9)]), "no_text"),
        (make_pdf([page(1)])[:300], "damaged"),
        (b"%PDF-1.7 nothing", "damaged"),
    ],
    ids=["scan", "cut", "nothing"],
)
def test_a_file_without_text_is_a_failure(data: bytes, kind: str) -> None:
    pytest.importorskip("pypdfium2")
    assert PdfFormat().recognizes(data)
    with pytest.raises(BookError, match=r"lamp\.pdf") as caught:
        read(data)
    assert (caught.value.kind, caught.value.retryable) == (kind, False)


def test_without_the_package_the_failure_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pypdfium2", None)
    with pytest.raises(BookError, match=r"run pip install 'raypipe\[pdf\]'") as caught:
        read(make_pdf([page(1)]))
    assert (caught.value.kind, caught.value.retryable) == ("no_reader", True)


def test_a_pdf_becomes_a_book() -> None:
    pytest.importorskip("pypdfium2")
    data = make_pdf([page(number) for number in range(1, 6)], title="The Lamp")
    book = TextCleaner(formats={"pdf": PdfFormat()}).clean(data, "a.txt")
    assert (book.title, book.author, book.language) == ("The Lamp", "Ada Keeper", "en")
    assert all(text_of(number, place) in book.text for number in (1, 5) for place in (0, 9))
    assert "THE LAMP" not in book.text
