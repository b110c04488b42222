"""JSON that fits a schema, filled from a text: what a model with structured output would answer."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from typing import Any

from raypipe.simulator import answers

_LONG = ("summary", "plot", "text", "description", "analysis", "synopsis", "abstract")
_DEPTH = 12
_FIELD = re.compile(r'"([a-z_]+)"')


class Filler:
    """Fills schemas from one text; the same text and schema always give the same JSON.

    Understands type (also lists of types), properties, items, enum, const, anyOf, oneOf, allOf
    (the first of each), $ref into the schema itself, and the least and most of lengths, items and
    numbers. Every property is given, also those that are not required.

    Args:
        root: The schema.
        prompt: The user's text.
        long_bytes: About how many bytes a long string (`summary`, `plot`, ...) has.
    """

    def __init__(self, root: Any, prompt: str, long_bytes: int) -> None:
        self._root = root
        source = answers.source(prompt)
        self._body, self._around = source.body, source.around
        self._names = answers.names(self._body, 12) or ["Nobody"]
        self._long_bytes = long_bytes
        self._turn = 0

    def fill(self) -> Any:
        """Return plain data that fits the schema."""
        return self._value(self._root, "", 0)

    def _value(self, schema: Any, name: str, depth: int) -> Any:
        if not isinstance(schema, Mapping) or depth > _DEPTH:
            return None
        schema = self._resolved(schema)
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return schema["enum"][self._chosen(name, len(schema["enum"]))]
        kind = _type(schema)
        if kind == "object":
            given = schema.get("properties", {})
            return {key: self._value(one, str(key), depth + 1) for key, one in given.items()}
        if kind == "array":
            return self._array(schema, name, depth)
        if kind in ("integer", "number"):
            return self._number(schema, name, kind)
        if kind == "boolean":
            return bool(self._chosen(name, 2))
        return self._string(schema, name) if kind == "string" else None

    def _resolved(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        for _ in range(_DEPTH):
            several = schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf")
            if several:
                schema = several[0]
            elif str(schema.get("$ref", "")).startswith("#"):
                found = self._root
                for key in str(schema["$ref"]).split("/")[1:]:
                    found = found.get(key, {}) if isinstance(found, Mapping) else {}
                schema = found
            else:
                break
        return schema

    def _array(self, schema: Mapping[str, Any], name: str, depth: int) -> list[Any]:
        least, most = schema.get("minItems", 0), schema.get("maxItems", 3)
        items = schema.get("items", {"type": "string"})
        count = max(least, min(3, most))
        if _type(self._resolved(items)) != "string" or self._resolved(items).get("enum"):
            return [self._value(items, f"{name}{number}", depth + 1) for number in range(count)]
        words = [_fit(one, self._resolved(items)) for one in self._names[:count]]
        return words + [f"{words[0]} {number}" for number in range(2, count - len(words) + 2)]

    def _number(self, schema: Mapping[str, Any], name: str, kind: str) -> float | int:
        least = schema.get("minimum", schema.get("exclusiveMinimum", 0))
        most = schema.get("maximum", schema.get("exclusiveMaximum", least + 100))
        value = least + (most - least) * (1 + self._chosen(name, 8)) / 10
        return round(value) if kind == "integer" else round(float(value), 3)

    def _string(self, schema: Mapping[str, Any], name: str) -> str:
        self._turn += 1
        if any(word in name.lower() for word in _LONG):
            words = answers.words_for(self._around, name)
            most = self._long_bytes if words is None else words * answers.BYTES_A_WORD
            text = answers.pick(self._body, most)
        elif name.lower() in ("title", "author", "name"):
            text = self._names[self._turn % len(self._names)]
        else:
            text = answers.sentence_at(self._body, int(self._turn * 0.11 % 1 * len(self._body)))
        return _fit(text or self._names[0], schema)

    def _chosen(self, name: str, count: int) -> int:
        return zlib.crc32(f"{name}:{self._body[:2_000]}".encode("utf-8", "replace")) % count


def described(prompt: str) -> Mapping[str, Any] | None:
    """Return a schema of the JSON object that a prompt describes in words; None = it asks for none.

    The fields are the names in double quotes behind `JSON object`, each a list where what follows
    it says so.
    """
    around = answers.source(prompt).around
    told = around.partition("JSON object")[2]
    parts = _FIELD.split(told)[1:]
    fields: dict[str, Mapping[str, Any]] = {}
    for name, said in zip(parts[::2], parts[1::2], strict=True):
        kind = "array" if re.match(r"\W*a list\b", said) else "string"
        fields.setdefault(name, {"type": kind})
    return {"type": "object", "properties": fields} if fields else None


def _type(schema: Mapping[str, Any]) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), "null")
    return str(kind or ("object" if "properties" in schema else "string"))


def _fit(text: str, schema: Mapping[str, Any]) -> str:
    most = schema.get("maxLength")
    text = text if most is None else text[:most]
    return text.ljust(int(schema.get("minLength", 0)), ".")
