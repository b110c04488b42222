"""Fill a JSON schema from a text, as a model with structured output would."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

from raypipe.simulator.answers import BYTES_PER_WORD, extract, find_sentence, frequent_names
from raypipe.simulator.prompts import requested_words, split_prompt

_LONG_FIELDS = ("summary", "plot", "text", "description", "analysis", "synopsis", "abstract")
_MAX_DEPTH = 12


class SchemaFiller:
    """Fills a schema from a text; the same text and schema always give the same JSON.

    Supports type (also lists of types), properties, items, enum, const, anyOf, oneOf, allOf (the
    first alternative of each), $ref into the schema itself, and the minimum and maximum of
    lengths, items and numbers. Optional properties are filled too.

    Args:
        root: The schema.
        prompt: The user's text.
        long_bytes: Approximate bytes of a long string, such as `summary` or `plot`.
    """

    def __init__(self, root: Any, prompt: str, long_bytes: int) -> None:
        self._root = root
        parts = split_prompt(prompt)
        self._body, self._instructions = parts.body, parts.instructions
        self._names = frequent_names(self._body, 12) or ["Nobody"]
        self._long_bytes = long_bytes
        self._strings = 0

    def fill(self) -> Any:
        """Return plain data that fits the schema."""
        return self._value(self._root, "", 0)

    def _value(self, schema: Any, name: str, depth: int) -> Any:
        if not isinstance(schema, Mapping) or depth > _MAX_DEPTH:
            return None
        schema = self._resolve(schema)
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return schema["enum"][self._choose(name, len(schema["enum"]))]
        kind = _type_of(schema)
        if kind == "object":
            properties = schema.get("properties", {})
            return {key: self._value(sub, str(key), depth + 1) for key, sub in properties.items()}
        if kind == "array":
            return self._array(schema, name, depth)
        if kind in ("integer", "number"):
            return self._number(schema, name, kind)
        if kind == "boolean":
            return bool(self._choose(name, 2))
        return self._string(schema, name) if kind == "string" else None

    def _resolve(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        """Follow references and alternatives to the schema of the value."""
        for _ in range(_MAX_DEPTH):
            alternatives = schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf")
            if alternatives:
                schema = alternatives[0]
            elif str(schema.get("$ref", "")).startswith("#"):
                target = self._root
                for key in str(schema["$ref"]).split("/")[1:]:
                    target = target.get(key, {}) if isinstance(target, Mapping) else {}
                schema = target
            else:
                break
        return schema

    def _array(self, schema: Mapping[str, Any], name: str, depth: int) -> list[Any]:
        least, most = schema.get("minItems", 0), schema.get("maxItems", 3)
        items = schema.get("items", {"type": "string"})
        count = max(least, min(3, most))
        if _type_of(self._resolve(items)) != "string" or self._resolve(items).get("enum"):
            return [self._value(items, f"{name}{number}", depth + 1) for number in range(count)]
        words = [_fit_length(text, self._resolve(items)) for text in self._names[:count]]
        return words + [f"{words[0]} {number}" for number in range(2, count - len(words) + 2)]

    def _number(self, schema: Mapping[str, Any], name: str, kind: str) -> float | int:
        least = schema.get("minimum", schema.get("exclusiveMinimum", 0))
        most = schema.get("maximum", schema.get("exclusiveMaximum", least + 100))
        value = least + (most - least) * (1 + self._choose(name, 8)) / 10
        return round(value) if kind == "integer" else round(float(value), 3)

    def _string(self, schema: Mapping[str, Any], name: str) -> str:
        self._strings += 1
        if any(word in name.lower() for word in _LONG_FIELDS):
            words = requested_words(self._instructions, name)
            text = extract(
                self._body, self._long_bytes if words is None else words * BYTES_PER_WORD
            )
        elif name.lower() in ("title", "author", "name"):
            text = self._names[self._strings % len(self._names)]
        else:
            text = find_sentence(self._body, int(self._strings * 0.11 % 1 * len(self._body)))
        return _fit_length(text or self._names[0], schema)

    def _choose(self, name: str, count: int) -> int:
        """Return a number below `count` that depends on the field's name and the text alone."""
        return zlib.crc32(f"{name}:{self._body[:2_000]}".encode("utf-8", "replace")) % count


def _type_of(schema: Mapping[str, Any]) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((name for name in kind if name != "null"), "null")
    return str(kind or ("object" if "properties" in schema else "string"))


def _fit_length(text: str, schema: Mapping[str, Any]) -> str:
    most = schema.get("maxLength")
    text = text if most is None else text[:most]
    return text.ljust(int(schema.get("minLength", 0)), ".")
