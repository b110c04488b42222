"""What a model is told, from conf/prompts/: checked when it is read, filled in one pass."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

TEXT_TAG, CATALOG_TAG = "book_text", "catalog_entry"
_OUR_TAG = re.compile(rf"<(?=\W{{0,16}}(?:{TEXT_TAG}|{CATALOG_TAG})\b)", re.I)
_PLACE = re.compile(r"\{(\w+)\}")
_PLACES: Mapping[str, tuple[frozenset[str], frozenset[str]]] = {
    "system": (frozenset(), frozenset()),
    "fields": (frozenset(), frozenset({"words", "plot_words"})),
    "chunk": (frozenset({"text", "words"}), frozenset()),
    "merge": (frozenset({"text", "words"}), frozenset()),
    "final": (frozenset({"text", "fields"}), frozenset({"words", "catalog"})),
    "single": (frozenset({"text", "fields"}), frozenset({"words", "catalog"})),
    "tighter": (frozenset(), frozenset({"words", "problem"})),
    "repair": (frozenset({"text", "fields"}), frozenset({"words"})),
}
"""What must stand in each text, and what may."""


@dataclass(frozen=True)
class Prompts:
    """The texts that a model is sent; `{text}` and other places are filled in.

    Args:
        version: For people; the texts themselves tell old summaries from new ones.
        system: Standing orders of every call.
        chunk: Asks for the summary of a part of a book.
        merge: Asks for one summary of several.
        final: Asks for the answer about the book, from summaries of its parts.
        single: The same, from the book itself.
        fields: How that answer is laid out; it stands where the others have `{fields}`.
        tighter: Added when an answer could not be used.
        repair: Asks for the same answer as JSON.
    """

    version: int
    system: str
    chunk: str
    merge: str
    final: str
    single: str
    fields: str
    tighter: str
    repair: str

    def __post_init__(self) -> None:
        """Refuse a text that lacks what is to be filled in, or has what nothing fills."""
        for name, (needed, allowed) in _PLACES.items():
            there = set(_PLACE.findall(getattr(self, name)))
            for place in sorted(needed - there):
                raise ValueError(f"prompts.{name} must have {{{place}}} in it")
            for place in sorted(there - needed - allowed):
                known = ", ".join(f"{{{one}}}" for one in sorted(needed | allowed)) or "nothing"
                raise ValueError(
                    f"prompts.{name} has {{{place}}}, which nothing fills; it can have {known}"
                )

    def identity(self) -> Mapping[str, Any]:
        """Return what changes the answers: every text."""
        return {one.name: getattr(self, one.name) for one in fields(self)}

    def written(self, name: str, **values: str) -> str:
        """Return a text with its places filled; what is filled in is not looked at again."""
        texts = {"fields": filled(self.fields, values), **values}
        return filled(getattr(self, name), texts).strip()

    def instructions(self) -> str:
        """Return all that is said but the books, to find it again in an answer."""
        texts = (self.system, self.chunk, self.merge, self.final, self.fields)
        return "\n".join(_PLACE.sub("\n", text) for text in (*texts, self.single, self.repair))


def filled(text: str, values: Mapping[str, str]) -> str:
    """Return a text with each `{name}` replaced, in one pass."""
    return _PLACE.sub(lambda place: values.get(place[1], place[0]), text)


def as_data(text: str, tag: str = TEXT_TAG) -> str:
    """Return a text between tags that it cannot close itself.

    A `<` before one of our tags becomes `[`: as many bytes, so that a book cannot grow by it.
    """
    return f"<{tag}>\n{_OUR_TAG.sub('[', text.strip())}\n</{tag}>"
