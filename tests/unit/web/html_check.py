"""Check a page as HTML: its nesting, its ids and labels, and that nothing leaves it."""

from __future__ import annotations

from collections import Counter
from html.parser import HTMLParser

VOID = {"meta", "link", "br", "hr", "img", "input"}
_FETCHING = {"src", "srcset", "data", "action", "formaction", "poster", "background", "xlink:href"}


class CheckedPage(HTMLParser):
    """The elements of a page.

    Attributes:
        problems: What is wrong, one line each.
        tags: Number of elements by tag.
        text: All texts.
    """

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.problems: list[str] = []
        self.tags: Counter[str] = Counter()
        self.text = ""
        self.ids: Counter[str] = Counter()
        self.regions: Counter[str] = Counter()
        self._refers: set[str] = set()
        self._open: list[str] = []
        self.feed(page)
        self.close()
        self.problems += [f"<{tag}> is not closed" for tag in self._open]
        self.problems += [f"id {name} is used twice" for name, n in self.ids.items() if n > 1]
        self.problems += [f"region {name} twice" for name, n in self.regions.items() if n > 1]
        self.problems += [f"there is no id {name}" for name in self._refers - set(self.ids)]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.tags[tag] += 1
        if len(values) < len(attrs):
            self.problems.append(f"<{tag}> has an attribute twice")
        for name, value in values.items():
            if name.startswith("on") or name in _FETCHING or name == "style":
                self.problems.append(f"<{tag} {name}={value}>")
        href = values.get("href") or ""
        if href.startswith("#"):
            self._refers.add(href[1:])
        elif href != ("data:," if tag == "link" else ""):
            self.problems.append(f"<{tag} href={href}> leaves the page")
        if identity := values.get("id"):
            self.ids[identity] += 1
        for name in ("aria-labelledby", "aria-describedby"):
            self._refers.update((values.get(name) or "").split())
        if values.get("role") == "region":
            self.regions[values.get("aria-label") or ""] += 1
        if tag == "th" and not values.get("scope"):
            self.problems.append("a <th> has no scope")
        if tag == "svg" and not (values.get("aria-labelledby") or "aria-hidden" in values):
            self.problems.append("a drawing has no text alternative")
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.problems.append(f"</{tag}> closes nothing")

    def handle_data(self, data: str) -> None:
        self.text += data
