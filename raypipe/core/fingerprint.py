"""Fingerprint how documents are made: three nested hashes for text, summary and document.

An identity holds everything that changes a document and nothing else: endpoint, region, workers,
batch sizes and the k-NN engine must not be part of it.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

DOCUMENT_VERSION = 1
"""Meaning of a document's fields; increase it if finished documents must be recomputed."""

OWN_KEYS = ("version", "versions", "schema")
"""Keys of a summarizer's identity that raypipe sets, and not the user."""

_DIGITS = 16  # 64 bits are enough: a state has a handful of recipes


@dataclass(frozen=True, slots=True)
class Recipe:
    """Fingerprints of 16 hex digits each.

    Args:
        text: Hash of the cleaner and the sentence splitter.
        summary: Hash of the text recipe and the summarizer.
        document: Hash of the summary recipe, the embedder and the version of the document.
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
    """Return the recipe of a cleaner, a summarizer and an embedder.

    Args:
        text: Identity of the cleaner and the sentence splitter.
        summarizer: Identity of the summarizer: model, parameters, prompts, schema.
        embedder: Identity of the embedder: model, dimension, normalization.
        document_version: Version of the fields of a document.

    Raises:
        TypeError: An identity contains a value other than mappings, lists, strings, numbers,
            booleans and None.
        ValueError: An identity contains a number that is not finite.
    """
    return recipe_of_text(fingerprint({"text": text}), summarizer, embedder, document_version)


def recipe_of_text(
    text_hash: str,
    summarizer: Mapping[str, Any],
    embedder: Mapping[str, Any],
    document_version: int = DOCUMENT_VERSION,
) -> Recipe:
    """Return the recipe of a text recipe, a summarizer and an embedder; see `recipe_of`."""
    summary_hash = fingerprint({"text": text_hash, "summarizer": summarizer})
    document_hash = fingerprint(
        {"summary": summary_hash, "embedder": embedder, "version": document_version}
    )
    return Recipe(text_hash, summary_hash, document_hash)


def settings_fingerprint(summarizer: Mapping[str, Any], embedder: Mapping[str, Any]) -> str:
    """Return the fingerprint of the settings that a user chose.

    raypipe's own versions are left out: the whole identity of the text, and `OWN_KEYS` of the
    summarizer. The embedder counts as a whole, because vectors of two versions cannot be compared.
    """
    chosen = {key: value for key, value in summarizer.items() if key not in OWN_KEYS}
    return fingerprint({"summarizer": chosen, "embedder": embedder})


def own_fingerprint(summarizer: Mapping[str, Any]) -> str:
    """Return the fingerprint of raypipe's own versions in the identity of a summarizer."""
    return fingerprint({key: value for key, value in summarizer.items() if key in OWN_KEYS})


def fingerprint(identity: Mapping[str, Any]) -> str:
    """Return 16 hex digits that are equal for equal identities.

    The order of keys is ignored, and so is the difference between 1 and 1.0.

    Raises:
        TypeError: The identity contains a value that is not plain, see `recipe_of`.
        ValueError: The identity contains a number that is not finite.
    """
    canonical = json.dumps(_normalize(identity), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:_DIGITS]


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return a line `path: old -> new` for each value that differs between two identities."""
    before, after = _flatten(_normalize(old)), _flatten(_normalize(new))
    return [
        f"{path}: {before.get(path, 'nothing')} -> {after.get(path, 'nothing')}"
        for path in sorted({*before, *after})
        if before.get(path) != after.get(path)
    ]


def _normalize(value: Any) -> Any:
    """Return a value in the only form that is hashed."""
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise TypeError(f"the keys of an identity must be strings: {list(value)}")
        return {key: _normalize(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_normalize(inner) for inner in value]
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"the numbers of an identity must be finite: {value}")
        # YAML and the command line may turn 0 into 0.0 and back.
        return int(value) if value.is_integer() else value
    if value is None or isinstance(value, str | int):
        return value
    raise TypeError(f"an identity may not contain a value of type {type(value).__name__}")


def _flatten(value: Any, path: str = "") -> dict[str, str]:
    """Return the JSON of each innermost value, by its path."""
    if not isinstance(value, dict):
        return {path: json.dumps(value)}
    flat: dict[str, str] = {}
    for key, inner in value.items():
        flat |= _flatten(inner, f"{path}.{key}" if path else key)
    return flat
