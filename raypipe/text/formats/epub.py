"""EPUB 2 and 3: the documents of the spine, in reading order."""

from __future__ import annotations

import posixpath
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html.entities import html5
from urllib.parse import unquote
from xml.etree import ElementTree

from raypipe.core.errors import BookError
from raypipe.text.formats.compressed import (
    check_size,
    is_zip,
    names_of,
    open_zip,
    read_member,
)
from raypipe.text.formats.html import Page, read_page
from raypipe.text.formats.html_encoding import decode_page
from raypipe.text.formats.protocol import BookMetadata, ExtractedText

_CONTAINER = "META-INF/container.xml"
_ENCRYPTION = "META-INF/encryption.xml"
_MIMETYPE = b"mimetypeapplication/epub+zip"
_FONT_ALGORITHMS = ("http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC")
_PAGE_TYPES = frozenset({"application/xhtml+xml", "text/html", "text/x-oeb1-document"})
_SKIPPED_GUIDES = frozenset(
    {"toc", "notes", "loi", "lot", "cover", "title-page", "copyright-page", "colophon", "index"}
)
_MAX_MEMBERS = 50_000
_MAX_XML_BYTES = 16 * 1024 * 1024
_AMPERSAND = re.compile(rb"&(?!#)(?:(?!(?:amp|lt|gt|quot|apos);)([a-zA-Z]\w{1,30});|(?!\w{1,30};))")
_ROLE = re.compile(r"(?:aut|aui|author)?$", re.I)


@dataclass(frozen=True)
class EpubFormat:
    """Read EPUB books. Navigation, notes, title page, imprint and cover are left out."""

    @property
    def endings(self) -> tuple[str, ...]:
        """Return none: a file without the content of an EPUB is none."""
        return ()

    def recognizes(self, data: bytes) -> bool:
        """Return whether a file is a zip archive with the container of an EPUB."""
        if not is_zip(data):
            return False
        return _MIMETYPE in data[:120] or _CONTAINER in names_of(data)

    def read(self, data: bytes, name: str, max_text_bytes: int) -> ExtractedText:
        """Return the text of a book.

        Raises:
            BookError: `damaged`, `encrypted` or `too_large`.
        """
        with open_zip(data, name) as archive:
            book = _Epub(archive, name)
            pages = [page for page in book.pages(max_text_bytes) if page.text]
        return ExtractedText(
            "\n\n\n\n".join(page.text for page in pages),
            book.metadata(),
            headings=tuple(heading for page in pages for heading in page.headings),
        )


class _Epub:
    """The package of a book.

    Args:
        archive: The zip archive.
        name: Key of the book, for messages.
    """

    def __init__(self, archive: zipfile.ZipFile, name: str) -> None:
        members = archive.infolist()
        check_size(len(members), _MAX_MEMBERS, f"the list of files in {name}")
        self._archive, self._name = archive, name
        self._members = {member.filename.replace("\\", "/"): member for member in members}
        self._folded = {path.casefold(): member for path, member in self._members.items()}
        self._encrypted = self._find_encrypted()
        self._path = self._find_package()
        self._package = self._read_xml(self._path)

    def metadata(self) -> BookMetadata:
        """Return what the package states."""
        values: dict[str, list[str]] = {}
        refined = self._refinements()
        for element in self._package.iter():
            tag = _local(element.tag)
            text = " ".join("".join(element.itertext()).split())
            if not element.tag.startswith("{http://purl.org/dc/elements/1.") or not text:
                continue
            if tag == "creator":
                file_as, role = _creator_details(element, refined)
                if not _ROLE.match(role):
                    continue
                # A name that is written in the order of a catalog is turned by its own sort key.
                text = _given_name_first(text) if text == file_as else text
            if tag == "title" and refined.get((element.get("id", ""), "title-type")) == "subtitle":
                continue
            values.setdefault(tag, []).append(text)
        return BookMetadata(
            title=next(iter(values.get("title", ())), ""),
            authors=tuple(values.get("creator", ())),
            language=next(iter(values.get("language", ())), ""),
            date=next(iter(values.get("date", ())), ""),
            subjects=tuple(values.get("subject", ())),
        )

    def pages(self, max_text_bytes: int) -> Iterator[Page]:
        """Yield the documents of the spine.

        Raises:
            BookError: A document is damaged, missing or encrypted, or all of them are too large.
        """
        members = list(self._spine())
        if not members:
            raise BookError("damaged", f"{self._name}: the spine of the EPUB names no document")
        size = sum(member.file_size for member in members)
        check_size(size, max_text_bytes, f"the text of {self._name} with its markup", "max_bytes")
        for member in members:
            if member.filename in self._encrypted:
                raise BookError("encrypted", f"{self._name} is an EPUB with copy protection (DRM)")
            data = read_member(self._archive, member, self._name, max_text_bytes)
            if data.strip():
                yield read_page(decode_page(data).text, is_xml=True)

    def _spine(self) -> Iterator[zipfile.ZipInfo]:
        items = {item.get("id", ""): item for item in self._elements("item")}
        skipped = {
            self._resolve(reference.get("href", ""))
            for reference in self._elements("reference")
            if reference.get("type", "").lower() in _SKIPPED_GUIDES
        }
        references = list(self._elements("itemref"))
        main = [item for item in references if item.get("linear", "yes").lower() != "no"]
        seen: set[str] = set()
        for reference in main or references:
            item = items.get(reference.get("idref", ""))
            if item is None or item.get("media-type", "").lower() not in _PAGE_TYPES:
                continue
            path = self._resolve(item.get("href", ""))
            is_navigation = "nav" in item.get("properties", "").split()
            if path in seen or is_navigation or (path in skipped and len(references) > 1):
                continue
            seen.add(path)
            yield self._find(path)

    def _elements(self, tag: str) -> Iterator[ElementTree.Element]:
        return (element for element in self._package.iter() if _local(element.tag) == tag)

    def _resolve(self, href: str) -> str:
        path = posixpath.join(posixpath.dirname(self._path), unquote(href.partition("#")[0]))
        return posixpath.normpath(path)

    def _find(self, path: str) -> zipfile.ZipInfo:
        member = self._members.get(path) or self._folded.get(path.casefold())
        if member is None:
            raise BookError("damaged", f"{self._name}: {path} is missing in the EPUB")
        return member

    def _find_package(self) -> str:
        if _CONTAINER in self._members:
            for element in self._read_xml(_CONTAINER).iter():
                path = element.get("full-path", "")
                if _local(element.tag) == "rootfile" and path.casefold() in self._folded:
                    return path
        packages = [path for path in self._members if path.lower().endswith(".opf")]
        if not packages:
            raise BookError("damaged", f"{self._name}: the EPUB has no package document (.opf)")
        return packages[0]

    def _read_xml(self, path: str) -> ElementTree.Element:
        data = read_member(self._archive, self._find(path), self._name, _MAX_XML_BYTES)
        try:
            try:
                return ElementTree.fromstring(data)  # noqa: S314 # expat limits entities
            except ElementTree.ParseError:
                return ElementTree.fromstring(_mend_xml(data))  # noqa: S314
        except (ElementTree.ParseError, ValueError, LookupError) as error:
            reason = f"{self._name}: {path} in the EPUB is not well-formed: {error}"
            raise BookError("damaged", reason) from None

    def _find_encrypted(self) -> frozenset[str]:
        """Return the paths of encrypted files, without fonts that are only obfuscated."""
        if _ENCRYPTION not in self._members:
            return frozenset()
        found: set[str] = set()
        for data in self._read_xml(_ENCRYPTION).iter():
            if _local(data.tag) != "encrypteddata":
                continue
            algorithms = [element.get("Algorithm", "") for element in data.iter()]
            if not any(algorithm in _FONT_ALGORITHMS for algorithm in algorithms):
                found.update(unquote(element.get("URI", "")) for element in data.iter())
        return frozenset(found)

    def _refinements(self) -> Mapping[tuple[str, str], str]:
        """Return the values of EPUB 3's `meta refines`, by id and property."""
        return {
            (element.get("refines", "").lstrip("#"), element.get("property", "")): (
                element.text or ""
            ).strip()
            for element in self._elements("meta")
            if element.get("refines")
        }


def _mend_xml(data: bytes) -> bytes:
    """Repair what other readers forgive: white space at the start, `&` alone, names of HTML."""
    return _AMPERSAND.sub(_escape_ampersand, data.lstrip())


def _escape_ampersand(match: re.Match[bytes]) -> bytes:
    if (name := match[1]) is None:
        return b"&amp;"
    codes = html5.get(f"{name.decode()};", "")
    return b"".join(b"&#%d;" % ord(char) for char in codes) or b"&amp;" + name + b";"


def _local(tag: object) -> str:
    """Return a tag without its namespace, in small letters; '' for a comment."""
    return tag.rpartition("}")[2].lower() if isinstance(tag, str) else ""


def _creator_details(
    element: ElementTree.Element, refined: Mapping[tuple[str, str], str]
) -> tuple[str, str]:
    """Return the sort key and the role of a creator."""
    attributes = {_local(name): value for name, value in element.attrib.items()}
    own_id = element.get("id", "")
    file_as = attributes.get("file-as") or refined.get((own_id, "file-as"), "")
    return file_as, attributes.get("role") or refined.get((own_id, "role"), "")


def _given_name_first(name: str) -> str:
    family, comma, given = name.partition(", ")
    return f"{given} {family}" if comma and "," not in given else name
