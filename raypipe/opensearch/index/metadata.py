"""Read and write raypipe's metadata in an index's mapping (`_meta.raypipe`)."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from raypipe import __version__
from raypipe.opensearch.index.ref import IndexSpec

DOCUMENT_SCHEMA_VERSION = 1
"""Incremented when the fields of `mapping.py` change their meaning."""


@dataclass(frozen=True)
class IndexMetadata:
    """Content of `_meta.raypipe`.

    Args:
        generation: uuid4 hex of this physical index; a purge creates another.
        state: Id of the state that the index belongs to.
        recipe: Document recipe of the run that created it.
        embedder: Settings that change its vectors, see `Embedder.identity`.
        document_schema: Version of the fields.
        created_by: Version of raypipe that created it.
        restore: Settings from before the load, to be restored before the index is served.
    """

    generation: str
    state: str
    recipe: str
    embedder: Mapping[str, Any] = field(default_factory=dict)
    document_schema: int = DOCUMENT_SCHEMA_VERSION
    created_by: str = f"raypipe {__version__}"
    restore: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return the metadata as JSON values."""
        cell = {**vars(self), "embedder": dict(self.embedder)}
        if not self.restore:
            del cell["restore"]
        return dict(orjson.loads(orjson.dumps(cell, option=orjson.OPT_SERIALIZE_NUMPY)))


def new_metadata(spec: IndexSpec) -> IndexMetadata:
    """Return metadata with a new generation."""
    return IndexMetadata(uuid.uuid4().hex, spec.state, spec.recipe, spec.embedder)


def read_metadata(mapping: Mapping[str, Any]) -> IndexMetadata | None:
    """Return the metadata in a mapping, or None for an index that raypipe did not create."""
    cell = mapping.get("_meta", {}).get("raypipe")
    if not isinstance(cell, Mapping) or not cell.get("generation"):
        return None
    return IndexMetadata(
        generation=str(cell["generation"]),
        state=str(cell.get("state", "")),
        recipe=str(cell.get("recipe", "")),
        embedder=dict(cell.get("embedder") or {}),
        document_schema=int(cell.get("document_schema", DOCUMENT_SCHEMA_VERSION)),
        created_by=str(cell.get("created_by", "")),
        restore=dict(cell.get("restore") or {}),
    )
