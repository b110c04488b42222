"""Documents of Microsoft Word (DOCX): their paragraphs, without notes, comments and images."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from xml.etree import ElementTree

from raypipe.core.errors import BookError
from raypipe.text.formats.compressed import (
    check_size,
    is_zip,
    names_of,
    open_zip,
    read_member,
)
from raypipe.text.formats.protocol import BookMetadata, ExtractedText

_DOCUMENT, _STYLES = "word/document.xml", "word/styles.xml"
_PROPERTIES = "docProps/core.xml"
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ENCRYPTED_PACKAGE = "EncryptedPackage".encode("utf-16-le")
_MARKUP_FACTOR = 8
"""Bytes of XML for each byte of text; Word usually writes 2 to 6."""
_SKIPPED = frozenset(
    {
        *("del", "moveFrom", "instrText", "delText", "footnoteReference", "endnoteReference"),
        *("commentReference", "annotationRef", "Fallback", "pPr", "rPr", "sectPr", "sdtPr"),
    }
)
"""Deleted text, field codes, marks of notes, properties, and the second form of a drawing."""
_CHARACTERS = {"tab": " ", "br": "\n", "cr": "\n", "noBreakHyphen": "\u2011"}
_HEADING = re.compile(r"(?:heading ?[1-3]|title)$", re.I)
_TOC = re.compile(r"(?:toc \d|toc heading|table of figures)$", re.I)


@dataclass(frozen=True)
class DocxFormat:
    """Read DOCX documents. Tables of contents, notes and deleted text are left out."""

    @property
    def endings(self) -> tuple[str, ...]:
        """Return none: a file without the content of a DOCX document is none."""
        return ()

    def recognizes(self, data: bytes) -> bool:
        """Return whether a file is a Word document, also if it is encrypted."""
        if data.startswith(_OLE):
            return _ENCRYPTED_PACKAGE in data
        return is_zip(data) and _DOCUMENT in names_of(data)

    def read(self, data: bytes, name: str, max_text_bytes: int) -> ExtractedText:
        """Return the text of a document.

        Raises:
            BookError: `encrypted`, `damaged` or `too_large`.
        """
        if data.startswith(_OLE):
            raise BookError("encrypted", f"{name} is an Office document with a password")
        limit = _MARKUP_FACTOR * max_text_bytes
        with open_zip(data, name) as archive:
            styles = _read_styles(archive, name, limit)
            document = _read_part(archive, _DOCUMENT, name, limit)
            metadata = _read_properties(archive, name, limit)
        paragraphs: list[str] = []
        headings: list[str] = []
        for style_id, characters in _paragraphs(document, name):
            style = styles.get(style_id, "")
            lines = [" ".join(line.split()) for line in characters.split("\n")]
            text = "\n".join(lines).strip("\n")
            if not text.strip() or _TOC.match(style):
                continue
            paragraphs.append(text)
            if _HEADING.match(style):
                headings.append(" ".join(text.split()))
        return ExtractedText("\n\n".join(paragraphs), metadata, headings=tuple(headings))


def _paragraphs(document: bytes, name: str) -> Iterator[tuple[str, str]]:
    """Yield style and characters of each paragraph; elements that were read leave the memory."""
    stream = io.BytesIO(document)
    copies = 0  # open elements that repeat a text box for old programs
    try:
        for event, element in ElementTree.iterparse(stream, ("start", "end")):  # noqa: S314
            tag = _local(element)
            if tag == "Fallback":
                copies += 1 if event == "start" else -1
            elif tag == "p" and event == "end":
                if not copies:
                    yield _style_of(element), "".join(_characters(element))
                element.clear()
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise BookError("damaged", f"{name}: {_DOCUMENT} is not well-formed: {error}") from None


def _characters(paragraph: ElementTree.Element) -> Iterator[str]:
    """Yield the characters of a paragraph; the paragraphs in its text boxes are others."""
    waiting = list(reversed(paragraph))
    while waiting:
        element = waiting.pop()
        tag = _local(element)
        if tag == "t":
            yield element.text or ""
        elif tag in _CHARACTERS:
            yield _CHARACTERS[tag]
        elif tag not in _SKIPPED and tag != "p":
            waiting += reversed(element)


def _style_of(paragraph: ElementTree.Element) -> str:
    for properties in paragraph:
        if _local(properties) == "pPr":
            for element in properties:
                if _local(element) == "pStyle":
                    return _attribute(element, "val")
    return ""


def _read_styles(archive: zipfile.ZipFile, name: str, limit: int) -> Mapping[str, str]:
    """Return the names of the styles, which are in English, by their ids, which may not be."""
    if _STYLES not in archive.namelist():
        return {}
    return {
        _attribute(style, "styleId"): _attribute(element, "val")
        for style in _read_xml(archive, _STYLES, name, limit)
        for element in style
        if _local(style) == "style" and _local(element) == "name"
    }


def _read_properties(archive: zipfile.ZipFile, name: str, limit: int) -> BookMetadata:
    if _PROPERTIES not in archive.namelist():
        return BookMetadata()
    values = {
        _local(element): " ".join((element.text or "").split())
        for element in _read_xml(archive, _PROPERTIES, name, limit)
    }
    author = values.get("creator", "")
    subjects = [part.strip() for part in values.get("keywords", "").split(",")]
    return BookMetadata(
        title=values.get("title", ""),
        authors=(author,) if author else (),
        language=values.get("language", ""),
        date=values.get("created", "")[:10],
        subjects=tuple(filter(None, subjects)),
    )


def _read_part(archive: zipfile.ZipFile, path: str, name: str, limit: int) -> bytes:
    member = archive.getinfo(path)
    check_size(member.file_size, limit, f"{name}: {path}", "max_bytes")
    return read_member(archive, member, name, limit)


def _read_xml(archive: zipfile.ZipFile, path: str, name: str, limit: int) -> ElementTree.Element:
    data = _read_part(archive, path, name, limit)
    try:
        return ElementTree.fromstring(data)  # noqa: S314 # expat limits the growth by entities
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise BookError("damaged", f"{name}: {path} is not well-formed: {error}") from None


def _local(element: ElementTree.Element) -> str:
    """Return the tag of an element without its namespace; '' for a comment."""
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def _attribute(element: ElementTree.Element, name: str) -> str:
    """Return an attribute of any namespace; '' if there is none."""
    return next(
        (value for key, value in element.attrib.items() if key.rpartition("}")[2] == name), ""
    )
