"""Compare an existing index with the index that a run needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from raypipe.opensearch.index.metadata import IndexMetadata, read_metadata


def find_differences(
    mapping: Mapping[str, Any], settings: Mapping[str, Any], wanted: Mapping[str, Any]
) -> list[str]:
    """Return the incompatibilities of an existing index, one readable line each.

    Fields that raypipe does not write, the k-NN engine and its parameters, shards and replicas
    may differ: they change neither documents nor search results.

    Args:
        mapping: `mappings` of the existing index.
        settings: `settings` of the existing index.
        wanted: Result of `index_body`.
    """
    lines = []
    new = wanted["mappings"]
    actual, expected = _flatten(mapping.get("properties", {})), _flatten(new["properties"])
    for path, value in expected.items():
        actual_value = actual.get(path)
        if path.endswith(".analyzer") and actual_value is None:
            actual_value = "standard"  # the server leaves its default out of the response
        if str(actual_value) != str(value):
            lines.append(_line(path, actual_value, value))
    if str(mapping.get("dynamic", True)).lower() != new["dynamic"]:
        lines.append(_line("dynamic", mapping.get("dynamic", "true"), new["dynamic"]))
    if str(settings.get("index", {}).get("knn", False)).lower() != "true":
        lines.append(_line("settings.index.knn", "false", "true"))
    return lines + _metadata_differences(read_metadata(mapping), read_metadata(new))


def embedder_differences(actual: Mapping[str, Any], expected: Mapping[str, Any]) -> list[str]:
    """Return the differences between two embedders' identities, one readable line each."""
    return [
        _line(f"embedder.{name}", actual.get(name), expected.get(name))
        for name in sorted({*actual, *expected})
        if actual.get(name) != expected.get(name)
    ]


def _metadata_differences(
    actual: IndexMetadata | None, expected: IndexMetadata | None
) -> list[str]:
    if actual is None or expected is None:
        return []
    lines = []
    if actual.document_schema != expected.document_schema:
        lines.append(_line("document_schema", actual.document_schema, expected.document_schema))
    return lines + embedder_differences(actual.embedder, expected.as_dict()["embedder"])


def _line(path: str, actual: Any, expected: Any) -> str:
    return f"{path}: the index has {_text(actual)}, this run needs {_text(expected)}"


def _text(value: Any) -> str:
    return "none" if value is None else str(value)


def _flatten(properties: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the values by path in which a difference between two mappings matters."""
    flat: dict[str, Any] = {}
    for name, field in properties.items():
        path = prefix + name
        flat[f"{path}.type"] = field.get("type", "object")
        method = field.get("method") or {}
        space = field.get("space_type") or method.get("space_type")
        values = {"space_type": space} if field.get("type") == "knn_vector" else {}
        values |= {key: field.get(key) for key in ("dimension", "analyzer", "format")}
        flat |= {f"{path}.{key}": value for key, value in values.items() if value is not None}
        flat |= _flatten(field.get("fields", {}), f"{path}.")
    return flat
