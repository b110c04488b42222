"""DOCX documents are read as their paragraphs; notes, field codes and deleted text are left out."""

from __future__ import annotations

import pytest

from raypipe.core.errors import BookError
from raypipe.text import TextCleaner
from raypipe.text.formats import ExtractedText
from raypipe.text.formats.docx import DocxFormat
from tests.unit.text.formats.books import PARAGRAPH, make_docx, make_zip, paragraph, run

OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


def read(data: bytes) -> ExtractedText:
    return DocxFormat().read(data, "lamp.docx", 100_000)


def test_paragraphs_and_breaks_are_read() -> None:
    data = make_docx(
        paragraph(run("CHAPTER") + "<w:r><w:tab/></w:r>" + run("I"), "berschrift1"),
        paragraph(run("One  ") + run("word.") + "<w:r><w:br/></w:r>" + run("Next line.")),
        "<w:tbl><w:tr><w:tc>" + paragraph(run("cell")) + "</w:tc></w:tr></w:tbl>",
    )
    extracted = read(data)
    assert extracted.text == "CHAPTER I\n\nOne word.\nNext line.\n\ncell"
    assert extracted.headings == ("CHAPTER I",)


def test_contents_notes_fields_and_deleted_text_are_left_out() -> None:
    data = make_docx(
        paragraph(run("Chapter I 1"), "Verz"),
        paragraph(
            run("Kept")
            + "<w:del><w:r><w:delText>no</w:delText></w:r></w:del>"
            + "<w:ins>"
            + run(" text")
            + "</w:ins>"
            + '<w:r><w:footnoteReference w:id="1"/></w:r>'
            + "<w:r><w:instrText>PAGE</w:instrText></w:r>"
            + "<w:hyperlink>"
            + run(".")
            + "</w:hyperlink>"
        ),
        paragraph(""),
    )
    assert read(data).text == "Kept text."


def test_a_text_box_is_read_once() -> None:
    box = f"<w:txbxContent>{paragraph(run('boxed'))}</w:txbxContent>"
    alternatives = f"<mc:Choice>{box}</mc:Choice><mc:Fallback>{box}</mc:Fallback>"
    data = make_docx(
        paragraph(
            run("Text.")
            + '<w:r><mc:AlternateContent xmlns:mc="http://schemas.openxmlformats.org/'
            + f'markup-compatibility/2006">{alternatives}</mc:AlternateContent></w:r>'
        )
    )
    assert read(data).text.split() == ["boxed", "Text."]


def test_the_properties_state_the_metadata() -> None:
    metadata = read(make_docx(paragraph(run("x")))).metadata
    assert (metadata.title, metadata.authors) == ("The Lamp", ("Ada Keeper",))
    assert (metadata.language, metadata.date) == ("en-GB", "1901-02-03")


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (make_zip({"word/document.xml": "<w:document>"}), "damaged"),
        (make_zip({"word/document.xml": b" " * 2_000_000}), "too_large"),
        (OLE + bytes(500) + "EncryptedPackage".encode("utf-16-le"), "encrypted"),
    ],
    ids=["not well-formed", "bomb", "encrypted"],
)
def test_a_broken_document_is_a_failure(data: bytes, kind: str) -> None:
    assert DocxFormat().recognizes(data)
    with pytest.raises(BookError, match=r"lamp\.docx") as caught:
        read(data)
    assert (caught.value.kind, caught.value.retryable) == (kind, False)


def test_other_office_files_are_no_documents() -> None:
    assert not DocxFormat().recognizes(OLE + bytes(1_000))
    assert not DocxFormat().recognizes(make_zip({"xl/workbook.xml": "<x/>"}))


def test_a_document_becomes_a_book() -> None:
    chapters = [
        paragraph(run(f"CHAPTER {number}"), "berschrift1") + paragraph(run(PARAGRAPH)) * 10
        for number in ("I", "II")
    ]
    book = TextCleaner(formats={"docx": DocxFormat()}).clean(make_docx(*chapters), "a.docx")
    assert (book.title, book.author, book.language) == ("The Lamp", "Ada Keeper", "en")
    assert [chapter.title for chapter in book.chapters] == ["CHAPTER I", "CHAPTER II"]


def test_running_heads_inside_of_sentences_are_removed() -> None:
    names = ["Ann", "Ben", "Cid", "Dan", "Eve", "Fay", "Gus", "Hal", "Ida", "Joe", "Kim", "Leo"]
    pages = [(f"{name} waited on the rock as long as", "all the others had.") for name in names]
    parts = [
        paragraph(run(text))
        for number, (first, second) in enumerate(pages)
        for text in (first, f"THE LAMP {number + 3}", second)
    ]
    book = TextCleaner(formats={"docx": DocxFormat()}).clean(make_docx(*parts), "lamp.docx")
    assert book.text == "\n\n".join(f"{first} {second}" for first, second in pages)
