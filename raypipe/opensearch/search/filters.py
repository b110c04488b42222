"""Restrict a search to some books."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

FACET_FIELDS: Mapping[str, str] = {
    "language": "language",
    "author": "author.raw",
    "genre": "genre",
    "flag": "flags",
    "summarizer": "summarizer",
    "fallback": "degraded",
}
"""Field of the index with the values of each filter."""


@dataclass(frozen=True)
class Filters:
    """Conditions that every hit meets; an empty text is no condition.

    Attributes:
        language: Code of the language, such as `en`.
        author: Words that the author has, in any order.
        genre: Genre that a model wrote.
        flag: Flag of the text, such as `gutenberg`.
        summarizer: Name of the summarizer.
        fallback: Why the summary is the fallback's and not the model's.
    """

    language: str = ""
    author: str = ""
    genre: str = ""
    flag: str = ""
    summarizer: str = ""
    fallback: str = ""

    def chosen(self) -> dict[str, str]:
        """Return the conditions that are set, by name."""
        values = {item.name: getattr(self, item.name).strip() for item in fields(self)}
        return {name: value for name, value in values.items() if value}

    def clauses(self) -> list[dict[str, Any]]:
        """Return the conditions as clauses of OpenSearch's query language."""
        return [_clause(name, value) for name, value in self.chosen().items()]


NO_FILTERS = Filters()


def _clause(name: str, value: str) -> dict[str, Any]:
    if name == "author":
        return {"match": {"author": {"query": value, "operator": "and"}}}
    return {"term": {FACET_FIELDS[name]: value}}
