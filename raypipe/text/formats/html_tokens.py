"""Split HTML into tags and text, in a time that grows with its length whatever it contains.

Python's own `html.parser` takes a time that grows with the square of the length of some damaged
pages: 20 s for 50 kB of `<a ` in Python 3.11.7. Here each character is passed once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from typing import NamedTuple

RAW = ("script", "style", "textarea", "title", "xmp", "iframe", "noembed", "noframes")
"""Elements that hold characters and no elements, up to their end tag."""

_NAME = re.compile(r"[a-zA-Z][^\s/<>\"'=]{0,100}")
_ATTRIBUTE = re.compile(r"([^\s=/>\"']+)(?:\s*=\s*(\"[^\"]*\"|'[^']*'|[^\s>]+))?")

_VALUE_QUOTE = re.compile(r"=\s{0,20}[\"']")


class Tag(NamedTuple):
    """A tag.

    Attributes:
        name: Its name in small letters.
        is_end: Whether it is an end tag.
        is_empty: Whether it ends with `/>`.
        source: What is between its name and its end.
    """

    name: str
    is_end: bool = False
    is_empty: bool = False
    source: str = ""

    def attributes(self) -> dict[str, str]:
        """Return the attributes; names are in small letters, the first of a name counts."""
        found: dict[str, str] = {}
        if self.source.strip(" \t\r\n/"):
            for name, value in _ATTRIBUTE.findall(self.source):
                if value[:1] in {'"', "'"}:
                    value = value[1:].removesuffix(value[0])
                found.setdefault(name.lower(), unescape(value) if "&" in value else value)
        return found


def split_html(html: str) -> Iterator[Tag | str]:
    """Yield the tags and the text of a page. Comments and declarations are left out.

    Args:
        html: The characters of the page.
    """
    page = _Page(html)
    at = 0
    while at < len(html):
        start = html.find("<", at)
        if start < 0:
            yield unescape(html[at:])
            return
        if start > at:
            yield unescape(html[at:start])
        tag, at = page.read(start)
        if tag is None:
            continue
        if isinstance(tag, str):
            yield tag
            continue
        yield tag
        if tag.name in RAW and not tag.is_end and not tag.is_empty:
            end = page.find_end_tag(tag.name, at)
            if end >= 0:
                yield unescape(html[at:end]) if tag.name == "title" else html[at:end]
                at = end


class _Page:
    """Read what begins with `<`; searches that found nothing are not made again."""

    def __init__(self, html: str) -> None:
        self._html = html
        self._last = {text: html.rfind(text) for text in (">", '"', "'", "-->", "]]>")}
        self._without_end: set[str] = set()

    def read(self, start: int) -> tuple[Tag | str | None, int]:
        """Return a tag, a text or nothing, and where the next begins."""
        html = self._html
        following = html[start + 1 : start + 2]
        if following == "!" or following == "?":
            return self._read_declaration(start)
        is_end = following == "/"
        name = _NAME.match(html, start + 2 if is_end else start + 1)
        if name is None or self._last[">"] < start:
            return "<", start + 1
        end = self._find_end(name.end())
        source = html[name.end() : end]
        return Tag(name[0].lower(), is_end, source.endswith("/"), source), end + 1

    def find_end_tag(self, name: str, start: int) -> int:
        """Return where the end tag of an element with raw text begins; -1 for nowhere."""
        if name in self._without_end:
            return -1
        end = re.compile(f"</{name}(?![\\w:-])", re.I).search(self._html, start)
        if end is None:
            self._without_end.add(name)
            return -1
        return end.start()

    def _read_declaration(self, start: int) -> tuple[str | None, int]:
        html = self._html
        if html.startswith("<!--", start):
            if self._last["-->"] < start + 2:
                return None, start + 4  # a comment without an end hides nothing
            return None, html.find("-->", start + 2) + 3
        if html.startswith("<![CDATA[", start) and self._last["]]>"] > start:
            end = html.find("]]>", start)
            return html[start + 9 : end], end + 3
        if self._last[">"] < start:
            return "<", start + 1
        return None, html.find(">", start) + 1

    def _find_end(self, start: int) -> int:
        """Return where a tag ends: the first `>` outside of quotes, or else the first `>`."""
        html = self._html
        first = end = html.find(">", start)
        at = start
        while True:
            quote = _first_value_quote(html, at, end)
            if quote < 0:
                return end
            mark = html[quote]
            if self._last[mark] <= quote:
                return first
            at = html.find(mark, quote + 1) + 1
            if at > end:
                if self._last[">"] < at:
                    return first
                end = html.find(">", at)


def _first_value_quote(html: str, start: int, stop: int) -> int:
    """Return where the first value in quotes begins; -1 if there is none."""
    match = _VALUE_QUOTE.search(html, start, stop)
    return match.end() - 1 if match else -1
