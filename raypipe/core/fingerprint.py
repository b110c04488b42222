"""Three nested fingerprints of how a document comes to be: text, summary, document.

Identity is content and recipe, never a name: what does not change a document (endpoint, region,
workers, batch sizes, the k-NN engine) must not stand in a part's identity.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

DOCUMENT_VERSION = 1
"""What a document's fields mean; raised when finished documents must be made anew."""

_DIGITS = 16  # 64 bits: a state sees a handful of recipes


@dataclass(frozen=True, slots=True)
class Recipe:
    """Fingerprints of 16 hex digits each.

    Args:
        text: What turns bytes into clean text and sentences.
        summary: The text recipe and what summarizes it.
        document: The summary recipe, what embeds it, and the document's schema.
    """

    text: str
    summary: str
    document: str


def recipe_of(
    text: Mapping[str, Any],
    summarizer: Mapping[str, Any],
    embedder: Mapping[str, Any],
    document_version: int = DOCUMENT_VERSION,
) -> Recipe:
    """Return the recipe of three parts by their identities.

    Args:
        text: Identity of cleaner and splitter.
        summarizer: Identity of the summarizer: model, parameters, prompts, schema.
        embedder: Identity of the embedder: model, dimension, normalization.
        document_version: Version of the document's fields.

    Raises:
        TypeError: An identity holds something other than mappings, lists and plain values.
        ValueError: An identity holds a number that is not finite.
    """
    first = fingerprint({"text": text})
    second = fingerprint({"text": first, "summarizer": summarizer})
    third = fingerprint({"summary": second, "embedder": embedder, "version": document_version})
    return Recipe(first, second, third)


def fingerprint(identity: Mapping[str, Any]) -> str:
    """Return 16 hex digits that are equal exactly where identities are.

    The order of keys does not count, nor whether a whole number was written 1 or 1.0.
    """
    canonical = json.dumps(_plain(identity), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:_DIGITS]


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return one line for each value that differs between two identities, by its path."""
    before, after = _flat(_plain(old)), _flat(_plain(new))
    return [
        f"{path}: {before.get(path, 'nothing')} -> {after.get(path, 'nothing')}"
        for path in sorted({*before, *after})
        if before.get(path) != after.get(path)
    ]


def _plain(value: Any) -> Any:
    """Return a value as JSON writes it in one way only."""
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise TypeError(f"an identity's keys are strings: {list(value)}")
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"an identity's numbers are finite: {value}")
        # YAML and a command line may turn 0 into 0.0 and back.
        return int(value) if value.is_integer() else value
    if value is None or isinstance(value, str | int):
        return value
    raise TypeError(f"not a plain value for an identity: {type(value).__name__}")


def _flat(value: Any, path: str = "") -> dict[str, str]:
    if not isinstance(value, dict):
        return {path: json.dumps(value)}
    flat: dict[str, str] = {}
    for key, inner in value.items():
        flat |= _flat(inner, f"{path}.{key}" if path else key)
    return flat
