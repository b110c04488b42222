"""What the model says of a book as a whole: the schema it is asked for, and lenient reading."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from raypipe.text import CleanText

TEXTS = ("title", "author", "genre", "setting", "period", "plot")
LISTS = ("themes", "characters", "keywords")

_TEXT = {"type": "string"}
_LIST = {"type": "array", "items": _TEXT}
SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        **{name: _TEXT for name in TEXTS},
        **{name: _LIST for name in LISTS},
        "summary": _TEXT,
    },
    "required": [*TEXTS, *LISTS, "summary"],
    "additionalProperties": False,
}
"""Without lengths and counts, which structured output does not know (Bedrock's and OpenAI's
guides to it); the summary comes last, after the model has gone through the book once."""

_LONGEST = {"plot": 4_000}
_LONGEST_TEXT = 200
_MOST_ITEMS = 30
_TRIES = 20
_NOTHING = re.compile(
    r"(?:n/?a|none|null|unknown|unspecified|not (?:specified|stated|given|known|applicable)"
    r"|\"\"|-+)[.]?",
    re.I,
)
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_TRAILING_COMMA = re.compile(r",(\s*[}\]])")
_DECODER = json.JSONDecoder(strict=False)  # models put real line breaks into strings


@dataclass(frozen=True, slots=True)
class Fields:
    """A model's answer about a book; empty where it said nothing."""

    summary: str
    title: str = ""
    author: str = ""
    genre: str = ""
    setting: str = ""
    period: str = ""
    plot: str = ""
    themes: tuple[str, ...] = ()
    characters: tuple[str, ...] = ()
    keywords: tuple[str, ...] = ()


def parse(answer: str) -> Fields | None:
    """Return the fields of an answer; None if no JSON object with a summary is in it.

    Code fences, words around the object, line breaks in strings, a comma too many, a string
    where a list belongs and objects such as `{"name": ..., "role": ...}` are put up with.
    """
    for found in _objects(answer):
        summary = found.get("summary")
        if isinstance(summary, str) and clean(summary):
            read: dict[str, Any] = {name: _short(found.get(name), name) for name in TEXTS}
            read |= {name: _items(found.get(name)) for name in LISTS}
            return Fields(summary=clean(summary), **read)
    return None


def better_names(book: CleanText, fields: Fields) -> tuple[str, str]:
    """Return the model's title and author where they are better; empty strings where not."""
    words = re.findall(r"[^\W_]+", book.title)
    plain = [word for word in words if len(word) > 1 and word.isalpha()]
    made_up = len(plain) < 2 and any(map(str.isdigit, book.title))
    literal = fields.title and " ".join(fields.title.casefold().split()) in " ".join(
        book.text.casefold().split()
    )
    return (
        fields.title if made_up and literal else "",
        "" if book.author else fields.author,
    )


def clean(text: str) -> str:
    """Return a text that is valid UTF-8, without control characters, its spaces evened out."""
    valid = text.encode("utf-8", "replace").decode()  # "\ud800" in JSON is half a character
    return re.sub(r"[ \t]+", " ", _CONTROLS.sub(" ", valid)).strip()


def _objects(answer: str) -> Iterator[Mapping[str, Any]]:
    """Yield the JSON objects in an answer, from the outside in."""
    for text in (answer, _TRAILING_COMMA.sub(r"\1", answer)):
        at = text.find("{")
        for _ in range(_TRIES):
            if at < 0:
                break
            try:
                found, _ = _DECODER.raw_decode(text, at)
            except (json.JSONDecodeError, RecursionError):
                found = None
            if isinstance(found, Mapping):
                yield found
            at = text.find("{", at + 1)


def _short(value: Any, name: str = "") -> str:
    """Return a value as one line; empty where it only says that there is nothing."""
    if isinstance(value, Mapping):
        first, *rest = [text for text in map(_short, value.values()) if text] or [""]
        said = f"{first}: {', '.join(rest)}" if rest else first
    elif isinstance(value, list):
        said = ", ".join(filter(None, map(_short, value)))
    elif isinstance(value, str | int | float) and not isinstance(value, bool):
        said = str(value)
    else:
        return ""
    line = " ".join(clean(said).split())
    most = _LONGEST.get(name, _LONGEST_TEXT)
    if len(line) > most:
        line = line[:most].rpartition(" ")[0] or line[:most]
    return "" if _NOTHING.fullmatch(line) else line


def _items(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        value = re.split(r"[;,\n]", value)
    elif isinstance(value, Mapping):
        value = [{"name": name, "is": about} for name, about in value.items()]
    if not isinstance(value, list):
        return ()
    known: dict[str, str] = {}
    for item in filter(None, map(_short, value)):
        known.setdefault(item.casefold(), item)
    return tuple(known.values())[:_MOST_ITEMS]
