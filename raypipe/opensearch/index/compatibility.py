"""Compare an existing index with the index that a run needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from raypipe.opensearch.index.mapping import UNRECORDED_MAPPING, VECTOR, mapping_fingerprint
from raypipe.opensearch.index.metadata import read_metadata


@dataclass(frozen=True)
class Differences:
    """How an existing index differs from the index that a run needs, one readable line each.

    Args:
        incompatible: Differences that keep a run from writing the index.
        older: Differences of fields that an older raypipe made: the index can still be written.
    """

    incompatible: list[str] = field(default_factory=list)
    older: list[str] = field(default_factory=list)


def find_differences(
    mapping: Mapping[str, Any], settings: Mapping[str, Any], wanted: Mapping[str, Any]
) -> Differences:
    """Compare an existing index with the index that a run needs.

    Fields that raypipe does not write, the k-NN engine and its parameters, shards and replicas
    may differ: they change neither documents nor search results.

    Args:
        mapping: `mappings` of the existing index.
        settings: `settings` of the existing index.
        wanted: Result of `index_body`.
    """
    vector: list[str] = []
    fields: list[str] = []
    new = wanted["mappings"]
    actual, expected = _flatten(mapping.get("properties", {})), _flatten(new["properties"])
    for path, value in expected.items():
        actual_value = actual.get(path)
        if path.endswith(".analyzer") and actual_value is None:
            actual_value = "standard"  # the server leaves its default out of the response
        if str(actual_value) != str(value):
            is_vector = path.partition(".")[0] == VECTOR
            (vector if is_vector else fields).append(_line(path, actual_value, value))
    if str(mapping.get("dynamic", True)).lower() != new["dynamic"]:
        fields.append(_line("dynamic", mapping.get("dynamic", "true"), new["dynamic"]))
    if str(settings.get("index", {}).get("knn", False)).lower() != "true":
        vector.append(_line("settings.index.knn", "false", "true"))
    before, after = read_metadata(mapping), read_metadata(new)
    if before is None or after is None:
        return Differences([*vector, *fields], [])
    if before.document_schema != after.document_schema:
        fields.append(_line("document_schema", before.document_schema, after.document_schema))
    vector += embedder_differences(before.embedder, after.as_dict()["embedder"])
    is_older = (before.mapping or UNRECORDED_MAPPING) != mapping_fingerprint()
    return Differences(vector, fields) if is_older else Differences([*vector, *fields], [])


def embedder_differences(actual: Mapping[str, Any], expected: Mapping[str, Any]) -> list[str]:
    """Return the differences between two embedders' identities, one readable line each."""
    return [
        _line(f"embedder.{name}", actual.get(name), expected.get(name))
        for name in sorted({*actual, *expected})
        if actual.get(name) != expected.get(name)
    ]


def _line(path: str, actual: Any, expected: Any) -> str:
    return f"{path}: the index has {_text(actual)}, this run needs {_text(expected)}"


def _text(value: Any) -> str:
    return "none" if value is None else str(value)


def _flatten(properties: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the values by path in which a difference between two mappings matters."""
    flat: dict[str, Any] = {}
    for name, settings in properties.items():
        path = prefix + name
        flat[f"{path}.type"] = settings.get("type", "object")
        method = settings.get("method") or {}
        space = settings.get("space_type") or method.get("space_type")
        values = {"space_type": space} if settings.get("type") == "knn_vector" else {}
        values |= {key: settings.get(key) for key in ("dimension", "analyzer", "format")}
        flat |= {f"{path}.{key}": value for key, value in values.items() if value is not None}
        flat |= _flatten(settings.get("fields", {}), f"{path}.")
    return flat
