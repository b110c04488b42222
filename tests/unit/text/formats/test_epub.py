"""EPUB books are read in the order of their spine, without navigation and notes."""

from __future__ import annotations

import pytest

from raypipe.core.errors import BookError
from raypipe.text import TextCleaner
from raypipe.text.formats import ExtractedText
from raypipe.text.formats.epub import EpubFormat
from tests.unit.text.formats.books import (
    CONTAINER,
    METADATA,
    PARAGRAPH,
    make_chapter,
    make_epub,
    make_package,
    make_zip,
)

_AES = "http://www.w3.org/2001/04/xmlenc#aes128-cbc"
TWO = {"one": "one.xhtml", "two": "sub/two.xhtml"}


def read(data: bytes) -> ExtractedText:
    return EpubFormat().read(data, "lamp.epub", 1 << 20)


def encryption(algorithm: str, path: str) -> str:
    return (
        '<encryption xmlns:e="http://www.w3.org/2001/04/xmlenc#"><e:EncryptedData>'
        f'<e:EncryptionMethod Algorithm="{algorithm}"/><e:CipherData><e:CipherReference '
        f'URI="{path}"/></e:CipherData></e:EncryptedData></encryption>'
    )


def test_the_documents_of_the_spine_are_read_in_order() -> None:
    package = make_package({"two": "sub/two.xhtml", "one": "one.xhtml"})
    book = read(make_epub(package=package))
    assert book.text.startswith(f"CHAPTER II\n\n{PARAGRAPH}")
    assert book.headings == ("CHAPTER II", "CHAPTER I")
    assert book.text.count(PARAGRAPH) == 16


def test_the_package_states_the_metadata() -> None:
    metadata = read(make_epub()).metadata
    assert (metadata.title, metadata.authors, metadata.language) == (
        "The Lamp",
        ("Ada Keeper",),
        "en",
    )
    assert (metadata.date, metadata.subjects) == ("1901", ("Sea stories",))


@pytest.mark.parametrize(
    ("creators", "authors"),
    [
        (
            '<dc:creator opf:role="aut">A. One</dc:creator>'
            '<dc:creator opf:role="trl">T</dc:creator>',
            ("A. One",),
        ),
        (
            '<dc:creator id="a">B. Two</dc:creator>'
            '<meta refines="#a" property="role">aut</meta>'
            '<dc:creator id="b">I</dc:creator><meta refines="#b" property="role">ill</meta>',
            ("B. Two",),
        ),
        ('<dc:creator opf:file-as="Three, C.">Three, C.</dc:creator>', ("C. Three",)),
        ('<dc:creator opf:file-as="Three, C.">C. Three</dc:creator>', ("C. Three",)),
    ],
)
def test_only_authors_are_authors(creators: str, authors: tuple[str, ...]) -> None:
    package = make_package(TWO, metadata=f"<dc:title>X</dc:title>{creators}")
    assert read(make_epub(package=package)).metadata.authors == authors


def test_navigation_notes_and_imprint_are_left_out() -> None:
    parts = {
        "nav": ("nav.xhtml", 'properties="nav"', "<nav>Contents</nav><p>nav</p>"),
        "toc": ("toc.xhtml", "", "<p>guide</p>"),
        "notes": ("notes.xhtml", "", '<section epub:type="endnotes"><p>notes</p></section>'),
        "imprint": ("imprint.xhtml", "", '<section epub:type="imprint"><p>imprint</p></section>'),
        "late": ("late.xhtml", "", "<p>linear</p>"),
    }
    items = "".join(
        f'<item id="{name}" href="{path}" media-type="application/xhtml+xml" {more}/>'
        for name, (path, more, _) in parts.items()
    )
    spine = "".join(f'<itemref idref="{name}"/>' for name in list(parts)[:-1])
    package = make_package(
        TWO,
        items=items,
        spine=f'{spine}<itemref idref="late" linear="no"/>',
        guide='<reference type="toc" href="toc.xhtml"/>',
    )
    files = {f"OEBPS/{path}": make_chapter("", body) for path, _, body in parts.values()}
    noted = (
        '<p>Kept<a epub:type="noteref" href="#n1">1</a>.</p><aside epub:type="footnote">no</aside>'
    )
    files["OEBPS/one.xhtml"] = make_chapter("CHAPTER I", noted)
    text = read(make_epub(files, package)).text
    assert text.startswith("CHAPTER I\n\nKept.\n\n\n\nCHAPTER II")


def test_paths_are_decoded_and_found_in_any_case() -> None:
    package = make_package({"one": "My%20Chapter.XHTML"})
    book = make_epub({"OEBPS/my chapter.xhtml": make_chapter("CHAPTER I")}, package)
    assert "CHAPTER I" in read(book).text


@pytest.mark.parametrize(
    ("data", "kind", "message"),
    [
        (make_epub()[:-200], "damaged", "zip archive"),
        (make_epub({"OEBPS/book.opf": "<package>&nbsp;"}), "damaged", "book.opf"),
        (make_epub(package=make_package({"x": "missing.xhtml"})), "damaged", "missing.xhtml"),
        (make_epub(package=make_package({})), "damaged", "spine"),
        (make_zip({"mimetype": "application/epub+zip"}), "damaged", "package document"),
        (
            make_epub({"OEBPS/one.xhtml": b"<html>" + b" " * 5_000_000}),
            "too_large",
            "text.max_bytes",
        ),
        (
            make_epub({"META-INF/encryption.xml": encryption(_AES, "OEBPS/one.xhtml")}),
            "encrypted",
            "copy protection",
        ),
    ],
    ids=["cut", "package", "missing", "no spine", "no package", "bomb", "encrypted"],
)
def test_a_broken_book_is_a_failure(data: bytes, kind: str, message: str) -> None:
    assert EpubFormat().recognizes(data)
    with pytest.raises(BookError, match=message) as caught:
        read(data)
    assert (caught.value.kind, caught.value.retryable) == (kind, False)
    assert "lamp.epub" in caught.value.message


@pytest.mark.parametrize(
    "algorithm", ["http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC", _AES]
)
def test_encrypted_fonts_do_no_harm(algorithm: str) -> None:
    assert read(make_epub({"META-INF/encryption.xml": encryption(algorithm, "OEBPS/a.otf")})).text


def test_entities_that_grow_are_refused() -> None:
    entities = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 12))
    bomb = f'<!DOCTYPE package [<!ENTITY a0 "aaaaaaaaaa">{entities}]><package>&a11;</package>'
    with pytest.raises(BookError) as caught:
        read(make_epub({"OEBPS/book.opf": bomb}))
    assert caught.value.kind == "damaged"


def test_an_epub_becomes_a_book_whatever_its_name() -> None:
    cleaner = TextCleaner(formats={"epub": EpubFormat()})
    for name in ("lamp.epub", "lamp.txt", "lamp"):
        book = cleaner.clean(make_epub(), name)
        assert (book.title, book.author, book.language) == ("The Lamp", "Ada Keeper", "en")
        assert [chapter.title for chapter in book.chapters] == ["CHAPTER I", "CHAPTER II"]
    assert "Sea stories" not in book.text
    assert METADATA not in book.text


def test_faults_that_other_readers_forgive_are_repaired() -> None:
    package = make_package(TWO, metadata="<dc:title>Salt &amp; Caf&eacute; & Lamp</dc:title>")
    book = read(make_epub(package=f"\n {package}"))
    assert book.metadata.title == "Salt & Café & Lamp"
    paths = {"OEBPS\\book.opf": make_package(TWO), "OEBPS\\one.xhtml": make_chapter("CHAPTER I")}
    paths["OEBPS\\sub\\two.xhtml"] = make_chapter("CHAPTER II")
    files = {"META-INF/container.xml": CONTAINER, **paths}
    assert read(make_zip(files)).headings == ("CHAPTER I", "CHAPTER II")


def test_frames_inside_of_an_epub_are_removed() -> None:
    start = "<p>*** START OF THE PROJECT GUTENBERG EBOOK THE LAMP ***</p>"
    end = "<p>*** END OF THE PROJECT GUTENBERG EBOOK THE LAMP ***</p><p>The license.</p>"
    body = f"<p>{PARAGRAPH}</p>" * 10
    parts = {
        "OEBPS/one.xhtml": make_chapter("The Project Gutenberg eBook", f"{start}{body}"),
        "OEBPS/sub/two.xhtml": make_chapter("CHAPTER II", f"{body}{end}"),
    }
    book = TextCleaner(formats={"epub": EpubFormat()}).clean_here(
        b"", "lamp.epub", read(make_epub(parts))
    )
    assert book.text == "\n\n".join([*[PARAGRAPH] * 10, "CHAPTER II", *[PARAGRAPH] * 10])
