"""Find out what a prompt asks for: its text, the number of words, a JSON object."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_TAGGED = re.compile(r"<(\w+)[^<>]*>(.+)</\1>", re.DOTALL)
_MIN_SHARE = 12
"""A tag around less than a twelfth of the prompt is an aside, not the text to work on."""
_REQUESTED_WORDS = re.compile(
    r"\b(?:most|under|about|within|up to|than|exactly) (\d{1,5}) words", re.I
)
_SEARCHED_CHARS = 4_000
_FIELD = re.compile(r'"([a-z_]+)"')


@dataclass(frozen=True)
class PromptParts:
    """A prompt, split into the text to work on and the instructions.

    Args:
        body: Text to work on.
        words: Requested number of words; None if the prompt names none.
        instructions: What precedes and follows the text.
    """

    body: str
    words: int | None
    instructions: str = ""


def split_prompt(prompt: str) -> PromptParts:
    """Split a prompt; the body is inside the outermost <tag>...</tag>, or the whole prompt."""
    tagged = _TAGGED.search(prompt)
    body = tagged[2] if tagged and len(tagged[2]) * _MIN_SHARE > len(prompt) else prompt
    instructions = prompt if body is prompt else prompt.replace(body, "")
    requested = _REQUESTED_WORDS.search(instructions[:_SEARCHED_CHARS]) or _REQUESTED_WORDS.search(
        instructions[-_SEARCHED_CHARS:]
    )
    return PromptParts(body.strip(), int(requested[1]) if requested else None, instructions)


def requested_words(instructions: str, field: str) -> int | None:
    """Return the number of words requested for a JSON field; None if there is none."""
    quoted = f'"{field}"'
    description = instructions.rpartition(quoted)[2] if quoted in instructions else ""
    requested = _REQUESTED_WORDS.search(description.partition(';\n"')[0])
    return int(requested[1]) if requested else None


def infer_schema(prompt: str) -> Mapping[str, Any] | None:
    """Return a schema of the JSON object that a prompt describes in words, or None.

    The fields are the names in double quotes after `JSON object`. A field is a list if the text
    after its name starts with "a list", otherwise a string.
    """
    description = split_prompt(prompt).instructions.partition("JSON object")[2]
    parts = _FIELD.split(description)[1:]
    fields: dict[str, Mapping[str, Any]] = {}
    for name, text in zip(parts[::2], parts[1::2], strict=True):
        kind = "array" if re.match(r"\W*a list\b", text) else "string"
        fields.setdefault(name, {"type": kind})
    return {"type": "object", "properties": fields} if fields else None
