"""The prompts of conf/prompts/: checked when created, filled in one pass."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

TEXT_TAG, CATALOG_TAG = "book_text", "catalog_entry"
_OWN_TAG = re.compile(rf"<(?=\W{{0,16}}(?:{TEXT_TAG}|{CATALOG_TAG})\b)", re.I)
_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_PLACEHOLDERS: Mapping[str, tuple[frozenset[str], frozenset[str]]] = {
    "system": (frozenset(), frozenset()),
    "fields": (frozenset(), frozenset({"words", "plot_words"})),
    "chunk": (frozenset({"text", "words"}), frozenset()),
    "merge": (frozenset({"text", "words"}), frozenset()),
    "final": (frozenset({"text", "fields"}), frozenset({"words", "catalog"})),
    "single": (frozenset({"text", "fields"}), frozenset({"words", "catalog"})),
    "tighter": (frozenset(), frozenset({"words", "problem"})),
    "repair": (frozenset({"text", "fields"}), frozenset({"words"})),
}
"""Required and optional placeholders of each prompt."""


@dataclass(frozen=True)
class Prompts:
    """The texts sent to a model; `{text}` and other placeholders are filled in.

    Args:
        version: Version of the texts; part of the identity, like the texts themselves.
        system: System prompt of every call.
        chunk: Asks for the summary of a part of a book.
        merge: Asks for one summary of several.
        final: Asks for the answer about the book, from summaries of its parts.
        single: Asks for the answer about the book, from the book itself.
        fields: Describes the form of that answer; replaces `{fields}` in the other prompts.
        tighter: Added when an answer could not be used.
        repair: Asks for the same answer as JSON.

    Raises:
        ValueError: A prompt lacks a required placeholder or has an unknown one.
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
        """Check the placeholders of each prompt."""
        for name, (required, optional) in _PLACEHOLDERS.items():
            used = set(_PLACEHOLDER.findall(getattr(self, name)))
            for placeholder in sorted(required - used):
                raise ValueError(f"prompts.{name} must have {{{placeholder}}} in it")
            for placeholder in sorted(used - required - optional):
                known = ", ".join(f"{{{name}}}" for name in sorted(required | optional))
                raise ValueError(
                    f"prompts.{name} has {{{placeholder}}}, which nothing fills; it can have"
                    f" {known or 'no placeholders'}"
                )

    def identity(self) -> Mapping[str, Any]:
        """Return everything that changes answers: every text."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def render(self, name: str, **values: str) -> str:
        """Return a prompt with its placeholders filled; values are not searched for placeholders.

        Args:
            name: The prompt, e.g. `chunk`.
            values: Values by placeholder; a placeholder without a value stays.
        """
        values = {"fields": fill_placeholders(self.fields, values), **values}
        return fill_placeholders(getattr(self, name), values).strip()

    def instructions(self) -> str:
        """Return the texts of all prompts without the books, to recognize them in an answer."""
        texts = (self.system, self.chunk, self.merge, self.final, self.fields)
        return "\n".join(
            _PLACEHOLDER.sub("\n", text) for text in (*texts, self.single, self.repair)
        )


def fill_placeholders(text: str, values: Mapping[str, str]) -> str:
    """Return a text with each `{name}` replaced, in one pass."""
    return _PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), text)


def wrap_as_data(text: str, tag: str = TEXT_TAG) -> str:
    """Return a text between tags that the text itself cannot close.

    A `<` before one of our tags becomes `[`: the same number of bytes, so that the text cannot
    grow.
    """
    return f"<{tag}>\n{_OWN_TAG.sub('[', text.strip())}\n</{tag}>"
