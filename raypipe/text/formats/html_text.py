"""Turn the elements of an HTML page into paragraphs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


BLOCKS = _names(
    "address article aside blockquote body caption center dd details dialog div dl dt fieldset "
    "figcaption figure footer form h1 h2 h3 h4 h5 h6 header hgroup hr html li main menu nav ol p "
    "pre section summary table tbody tfoot thead tr ul"
)
_CHAPTER_HEADINGS = _names("h1 h2 h3")
_SKIPPED = _names(
    "audio button canvas datalist embed footer form head iframe input map math nav noscript object "
    "option rp rt script select style svg template textarea video"
)
"""Elements without text of the book: scripts, page furniture, and the reading of ruby."""
_SKIPPED_ROLES = _names(
    "navigation banner contentinfo search menu doc-toc doc-noteref doc-footnote doc-endnote "
    "doc-endnotes doc-pagebreak doc-pagelist doc-pagefooter doc-pageheader"
)
_SKIPPED_TYPES = _names(
    "toc landmarks page-list pagebreak loi lot lov noteref footnote footnotes endnote endnotes "
    "rearnote rearnotes note titlepage halftitlepage copyright-page imprint colophon imprimatur"
)
"""Values of `epub:type`: navigation, notes and what a publisher adds."""
_SKIPPED_CLASSES = _names(
    "pagenum pageno pagenumber page-number pagebreak fnanchor footnote footnotes footnote-ref "
    "navbar breadcrumb breadcrumbs sidebar"
)
"""Classes of page numbers and notes in the books of Project Gutenberg, and of furniture."""
_TOC_ELEMENTS = frozenset({"table", "ul", "ol", "p", "div"})
_HIDDEN = re.compile(r"(?:display\s*:\s*none|visibility\s*:\s*hidden)", re.I)
_NOTE_LINK = re.compile(r"#(?:footnote|endnote|fn|note)[-_:]?\d+$", re.I)
_NOTE_ID = re.compile(r"(?:footnote|endnote|fn)[-_:]?\d+$", re.I)
_SPACES = re.compile(r"[ \t\r\n\f]+")
_SPACES_INSIDE = re.compile(r" {2,}")


@dataclass
class TextBuilder:
    """Collect paragraphs from elements in document order.

    Attributes:
        headings: The headings up to the third level, each on one line.
    """

    headings: list[str] = field(default_factory=list)
    _paragraphs: list[str] = field(default_factory=list)
    _pieces: list[str] = field(default_factory=list)
    _preserving: int = 0  # open pre elements
    _heading: int = 0  # open headings
    _preserved: int = 0  # characters inside of pre
    _characters: int = 0

    def skips(self, tag: str, attributes: Mapping[str, str]) -> bool:
        """Return whether an element and what is inside is no text of the book."""
        return tag in _SKIPPED or (bool(attributes) and _is_furniture(tag, attributes))

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        """Begin an element that is not skipped."""
        if tag == "br":
            self._pieces.append("\n")
        elif tag in BLOCKS:
            self._end_paragraph()
            self._preserving += tag == "pre"
            if tag in _CHAPTER_HEADINGS:
                self._heading = len(self._paragraphs) + 1
        elif tag in {"td", "th"}:
            self._pieces.append(" ")
        elif tag == "img" and len(attributes.get("alt", "").strip()) == 1:
            self._pieces.append(attributes["alt"].strip())  # an initial

    def end_piece(self, tag: str) -> None:
        """End the paragraph before an element that is left out, if it is a block."""
        if tag in BLOCKS:
            self._end_paragraph()

    def end(self, tag: str) -> None:
        """End an element that was started."""
        if tag in BLOCKS:
            self._end_paragraph()
            if tag == "pre" and self._preserving:
                self._preserving -= 1
            if tag in _CHAPTER_HEADINGS and self._heading:
                heading = " ".join(" ".join(self._paragraphs[self._heading - 1 :]).split())
                if heading:
                    self.headings.append(heading)
                self._heading = 0

    def text(self, text: str) -> None:
        """Add characters."""
        self._characters += len(text)
        if self._preserving:
            self._preserved += len(text)
            self._pieces.append(text.replace("\r\n", "\n"))
        else:
            self._pieces.append(_SPACES.sub(" ", text))

    @property
    def is_wrapped(self) -> bool:
        """Whether most of the text is preformatted, as in a text file inside of `pre`."""
        return self._preserved > self._characters // 2

    def finish(self) -> str:
        """Return the paragraphs, separated by blank lines."""
        self._end_paragraph()
        return "\n\n".join(self._paragraphs)

    def _end_paragraph(self) -> None:
        if not self._pieces:
            return
        text = "".join(self._pieces)
        self._pieces.clear()
        if self._preserving:
            text = text.strip("\n")
        else:
            text = "\n".join([line.strip() for line in _SPACES_INSIDE.sub(" ", text).split("\n")])
            text = text.strip("\n")
        if text.strip():
            self._paragraphs.append(text)


def _is_furniture(tag: str, attributes: Mapping[str, str]) -> bool:
    if "hidden" in attributes or attributes.get("aria-hidden") == "true":
        return True
    if (style := attributes.get("style")) and _HIDDEN.search(style):
        return True
    if (role := attributes.get("role")) and role in _SKIPPED_ROLES:
        return True
    types = attributes.get("epub:type")
    if types and not _SKIPPED_TYPES.isdisjoint(types.split()):
        return True
    if names := attributes.get("class"):
        classes = names.lower().split()
        if not _SKIPPED_CLASSES.isdisjoint(classes):
            return True
        if "toc" in classes and tag in _TOC_ELEMENTS:
            return True
    if tag == "a" and _NOTE_LINK.search(attributes.get("href", "")):
        return True
    return tag == "li" and bool(_NOTE_ID.match(attributes.get("id", "")))
