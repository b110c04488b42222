"""The structured answer about a book: its JSON schema, and a lenient reader."""

from __future__ import annotations

import json
import math
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
"""Schema of the answer about a book. It has no lengths and counts, which structured output does
not support (Bedrock's and OpenAI's guides to it). The summary comes last, after the model has
gone through the whole book."""

_MAX_CHARS = {"plot": 4_000}
_MAX_TEXT_CHARS = 200
_MAX_ITEMS = 30
_MAX_TRIES = 20
_NO_VALUE = re.compile(
    r"(?:n/?a|none|null|unknown|unspecified|not (?:specified|stated|given|known|applicable)"
    r"|\"\"|-+)[.]?",
    re.I,
)
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_TRAILING_COMMA = re.compile(r",(\s*[}\]])")
_MAX_DIGITS = 100  # of an integer; int() refuses 4,301
_MAX_DEPTH = 5  # of lists and objects inside a field


def _parse_int(digits: str) -> int | None:
    return int(digits) if len(digits) <= _MAX_DIGITS else None


_DECODER = json.JSONDecoder(
    strict=False,  # models put real line breaks into strings
    parse_int=_parse_int,
    parse_constant=lambda _: None,  # NaN and Infinity
)


@dataclass(frozen=True, slots=True)
class BookFields:
    """A model's answer about a book; fields without a value are empty."""

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


def parse_fields(answer: str) -> BookFields | None:
    """Return the fields of an answer; None if it has no JSON object with a summary.

    These deviations are accepted: code fences, words around the object, line breaks in strings,
    trailing commas, a string in place of a list, and objects such as `{"name": ..., "role":
    ...}` in place of strings.
    """
    for values in _json_objects(answer):
        summary = values.get("summary")
        if isinstance(summary, str) and clean_answer(summary):
            read: dict[str, Any] = {name: _read_text(values.get(name), name) for name in TEXTS}
            read |= {name: _read_list(values.get(name)) for name in LISTS}
            return BookFields(summary=clean_answer(summary), **read)
    return None


def improve_title_and_author(book: CleanText, fields: BookFields) -> tuple[str, str]:
    """Return the model's title and author if they are better than the cleaner's, else ''.

    The title counts only if the cleaner derived its title from a file name and the book has the
    model's title literally. The author counts only if the cleaner found none.
    """
    words = re.findall(r"[^\W_]+", book.title)
    plain_words = [word for word in words if len(word) > 1 and word.isalpha()]
    is_from_file_name = len(plain_words) < 2 and any(map(str.isdigit, book.title))
    is_in_book = fields.title and " ".join(fields.title.casefold().split()) in " ".join(
        book.text.casefold().split()
    )
    return (
        fields.title if is_from_file_name and is_in_book else "",
        "" if book.author else fields.author,
    )


def clean_answer(text: str) -> str:
    """Return a text as valid UTF-8, without control characters and repeated spaces."""
    valid = text.encode("utf-8", "replace").decode()  # "\ud800" in JSON is half a character
    return re.sub(r"[ \t]+", " ", _CONTROLS.sub(" ", valid)).strip()


def _json_objects(answer: str) -> Iterator[Mapping[str, Any]]:
    """Yield the JSON objects in an answer, the outer before the inner ones."""
    for text in (answer, _TRAILING_COMMA.sub(r"\1", answer)):
        position = text.find("{")
        for _ in range(_MAX_TRIES):
            if position < 0:
                break
            try:
                value, _ = _DECODER.raw_decode(text, position)
            except (ValueError, RecursionError):
                value = None
            if isinstance(value, Mapping):
                yield value
            position = text.find("{", position + 1)


def _read_text(value: Any, name: str = "", depth: int = 0) -> str:
    """Return a value as one line; empty if it only states that there is no value."""
    if depth > _MAX_DEPTH:
        return ""
    if isinstance(value, Mapping):
        texts = (_read_text(item, depth=depth + 1) for item in value.values())
        first, *rest = list(filter(None, texts)) or [""]
        text = f"{first}: {', '.join(rest)}" if rest else first
    elif isinstance(value, list):
        text = ", ".join(filter(None, (_read_text(item, depth=depth + 1) for item in value)))
    elif isinstance(value, str | int | float) and not isinstance(value, bool):
        text = "" if isinstance(value, float) and not math.isfinite(value) else str(value)
    else:
        return ""
    line = " ".join(clean_answer(text).split())
    max_chars = _MAX_CHARS.get(name, _MAX_TEXT_CHARS)
    if len(line) > max_chars:
        line = line[:max_chars].rpartition(" ")[0] or line[:max_chars]
    return "" if _NO_VALUE.fullmatch(line) else line


def _read_list(value: Any) -> tuple[str, ...]:
    """Return a value as distinct lines, ignoring case."""
    if isinstance(value, str):
        value = re.split(r"[;,\n]", value)
    elif isinstance(value, Mapping):
        value = [{"name": name, "is": about} for name, about in value.items()]
    if not isinstance(value, list):
        return ()
    distinct: dict[str, str] = {}
    for item in filter(None, map(_read_text, value)):
        distinct.setdefault(item.casefold(), item)
    return tuple(distinct.values())[:_MAX_ITEMS]
