"""HTML and XHTML: the text of a page without its furniture."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from raypipe.core.errors import BookError
from raypipe.text.formats.compressed import check_size
from raypipe.text.formats.html_encoding import HEAD_BYTES, decode_page
from raypipe.text.formats.html_text import BLOCKS, TextBuilder
from raypipe.text.formats.html_tokens import Tag, split_html
from raypipe.text.formats.protocol import BookMetadata, ExtractedText
from raypipe.text.metadata import read_page_title
from raypipe.text.wide_encodings import BYTE_ORDER_MARKS

_START = re.compile(
    rb"\s*(?:<\?xml[^>]{0,200}\?>\s*)?(?:<!--.{0,3000}?-->\s*)*"
    rb"<(?:!doctype\s+html|html|head|body|title|meta)\b|\s*(?:<\?xml[^>]{0,200}\?>\s*)?<Error>",
    re.S | re.I,
)
_XML_START = re.compile(rb"\s*<\?xml[^>]{0,200}\?>")
_VOID = frozenset(
    {
        *("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param"),
        *("source", "track", "wbr"),
    }
)
_ENDS = {
    "p": BLOCKS,
    "li": frozenset({"li"}),
    "dt": frozenset({"dt", "dd"}),
    "dd": frozenset({"dt", "dd"}),
    "tr": frozenset({"tr"}),
    "td": frozenset({"td", "th", "tr"}),
    "head": frozenset({"body", *BLOCKS}),
    "option": frozenset({"option"}),
}
"""Elements that end an element whose end tag is missing."""
_ERROR_TITLE = re.compile(
    r"\W*(?:error\b|(?:http )?[45]\d\d\b|not found\b|access denied\b"
    r"|forbidden\b|(?:bad gateway|service (?:temporarily )?unavailable|object moved)\b"
    r"|just a moment\b|attention required\b|(?:sign|log) ?in\b|redirecting\b|moved permanently\b"
    r"|internal server error\b|are you a robot|captcha|too many requests\b)"
    r"|\b(?:page|file|document|book) not found\b|\b(?:error|erreur|fehler|errore|erro) [45]\d\d\b"
    r"|\b(?:seite|datei) (?:wurde )?nicht gefunden|introuvable\b|página no encontrada"
    r"|página não encontrada|pagina non trovata|pagina niet gevonden|sidan hittades inte"
    r"|siden ble ikke funnet|siden blev ikke fundet|sivua ei löyty|nie znaleziono strony"
    r"|страница не найдена|ページが見つかりません|页面不存在|找不到页面|找不到頁面",
    re.I,
)
"""Titles of error pages in the largest languages, at their beginning or as a phrase."""
_XML_ERROR = re.compile(rb"\s*(?:<\?xml[^>]{0,200}\?>\s*)?<Error>\s*<Code>([\w.]{1,80})</Code>")
"""An answer of S3, saved as a file."""
_MAX_ERROR_WORDS = 400
_TITLE_NAMES = ("dc.title", "dcterms.title", "og:title", "citation_title")
_AUTHOR_NAMES = ("author", "dc.creator", "dcterms.creator", "citation_author", "book:author")
_LANGUAGE_NAMES = ("dc.language", "dcterms.language", "language")
_DATE_NAMES = ("dc.date", "dcterms.issued", "dcterms.created", "citation_publication_date", "date")
_SUBJECT_NAMES = ("keywords", "dc.subject", "dcterms.subject")


@dataclass(frozen=True)
class HtmlFormat:
    """Read HTML and XHTML pages: title and meta elements, and the text without page furniture."""

    @property
    def endings(self) -> tuple[str, ...]:
        """Return the endings of pages that do not begin as a page should."""
        return (".html", ".htm", ".xhtml", ".xht")

    def recognizes(self, data: bytes) -> bool:
        """Return whether a file begins as a page of HTML."""
        head = data[:HEAD_BYTES]
        for mark, _ in BYTE_ORDER_MARKS:
            head = head.removeprefix(mark)
        if head[:2].count(0) == 1:  # UTF-16
            head = head.replace(b"\0", b"")
        return _START.match(head) is not None

    def read(self, data: bytes, name: str, max_text_bytes: int) -> ExtractedText:
        """Return the text of a page.

        Raises:
            BookError: `error_page` if it is the message of a server, `too_large`, `undecodable`,
                `binary`.
        """
        check_size(len(data), max_text_bytes, name, "max_bytes")
        if answer := _XML_ERROR.match(data):
            code = answer[1].decode("ascii", "replace")
            raise BookError("error_page", f"{name} is the answer {code} of a storage server")
        decoded = decode_page(data)
        page = read_page(decoded.text, is_xml=bool(_XML_START.match(data)))
        title = page.title or next(iter(page.headings), "")
        if _ERROR_TITLE.search(title) and len(page.text.split()) < _MAX_ERROR_WORDS:
            raise BookError(
                "error_page", f"{name} is a page of a server with the title {title[:80]!r}"
            )
        return ExtractedText(
            page.text,
            page.metadata,
            decoded.encoding,
            page.headings,
            page.is_wrapped,
            decoded.flags,
        )


@dataclass(frozen=True, slots=True)
class Page:
    """A page of HTML as text.

    Attributes:
        text: Paragraphs separated by blank lines.
        title: Its `title` element.
        metadata: What title and meta elements state.
        headings: Headings up to the third level.
        is_wrapped: Whether it is a text file inside of `pre`.
    """

    text: str
    title: str
    metadata: BookMetadata
    headings: tuple[str, ...]
    is_wrapped: bool


def read_page(html: str, *, is_xml: bool) -> Page:
    """Return the text of a page.

    Args:
        html: The characters of the page.
        is_xml: Whether `<p/>` is an empty paragraph. In HTML it begins a paragraph.
    """
    reader = _PageReader(is_xml=is_xml)
    for token in split_html(html):
        if isinstance(token, str):
            reader.text(token)
        elif token.is_end:
            reader.end(token.name)
        else:
            reader.start(token)
    title = " ".join("".join(reader.title).split())
    metadata = _read_metadata(reader.meta, title, reader.language)
    builder = reader.builder
    return Page(builder.finish(), title, metadata, tuple(builder.headings), builder.is_wrapped)


class _PageReader:
    """Pass elements and text to a `TextBuilder`, without those that are left out.

    Args:
        is_xml: As for `read_page`.
    """

    def __init__(self, *, is_xml: bool) -> None:
        self.builder = TextBuilder()
        self.meta: list[tuple[str, str]] = []
        self.title: list[str] = []
        self.language = ""
        self._is_xml = is_xml
        self._in_title = False
        self._skipped = ""  # the element that is left out, while it is open
        self._depth = 0  # elements of the same name that are open inside, itself included

    def start(self, tag: Tag) -> None:
        """Begin an element."""
        name = tag.name
        is_empty = tag.is_empty and self._is_xml  # in HTML, <p/> begins a paragraph
        if name == "title":
            self._in_title = not is_empty and not self.title  # pictures have titles, too
            return
        if self._skipped and not self._ends_skipped(tag, is_empty=is_empty):
            return
        attributes = tag.attributes()
        if name == "html":
            self.language = attributes.get("lang") or attributes.get("xml:lang") or ""
        if name == "meta":
            self._note_meta(attributes)
        elif name in _VOID or not self.builder.skips(name, attributes):
            self.builder.start(name, attributes)
            if is_empty:
                self.builder.end(name)
        elif not is_empty:
            self.builder.end_piece(name)
            self._skipped, self._depth = name, 1

    def end(self, name: str) -> None:
        """End an element."""
        if name == "title":
            self._in_title = False
        elif name == self._skipped:
            self._depth -= 1
            if not self._depth:
                self._skipped = ""
        elif not self._skipped:
            self.builder.end(name)

    def text(self, text: str) -> None:
        """Add characters."""
        if self._in_title:
            self.title.append(text)
        elif not self._skipped:
            self.builder.text(text)

    def _ends_skipped(self, tag: Tag, *, is_empty: bool) -> bool:
        """Return whether an element ends the skipped element, whose end tag is missing."""
        if tag.name == "meta":
            self._note_meta(tag.attributes())
        if tag.name in _ENDS.get(self._skipped, ()):
            self._skipped = ""
            return True
        if tag.name == self._skipped and not is_empty:
            self._depth += 1
        return False

    def _note_meta(self, attributes: Mapping[str, str]) -> None:
        name = attributes.get("name") or attributes.get("property") or ""
        content = " ".join(attributes.get("content", "").split())
        if name and content:
            self.meta.append((name.lower(), content))


def _read_metadata(meta: Iterable[tuple[str, str]], title: str, language: str) -> BookMetadata:
    values: dict[str, list[str]] = {}
    for name, content in meta:
        values.setdefault(name, []).append(content)

    def find(names: tuple[str, ...]) -> list[str]:
        return next((values[name] for name in names if name in values), [])

    stated, author = read_page_title(title)
    titles, authors = find(_TITLE_NAMES), find(_AUTHOR_NAMES)
    subjects = [part.strip() for value in find(_SUBJECT_NAMES) for part in value.split(",")]
    return BookMetadata(
        title=titles[0] if titles else stated,
        authors=tuple(authors) or ((author,) if author else ()),
        language=(language or next(iter(find(_LANGUAGE_NAMES)), "")).strip(),
        date=next(iter(find(_DATE_NAMES)), ""),
        subjects=tuple(filter(None, subjects)),
    )
