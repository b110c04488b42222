"""Read and write raypipe's metadata in an index's mapping (`_meta.raypipe`)."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from raypipe import __version__
from raypipe.opensearch.index.ref import IndexSpec

DOCUMENT_SCHEMA_VERSION = 1
"""Incremented when the fields of `mapping.py` change their meaning."""
_SERVICES_KEPT = 20


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
        summarizer: Name of the summarizer that made the documents; '' if an older raypipe wrote it.
        embedder_name: Name of the embedder; '' if an older raypipe wrote it.
        mapping: Fingerprint of the fields that raypipe gave the index when it created it.
        served: When the index began to be served, oldest first: `number`, counted over all
            indices of the alias, and `at`, the time in UTC.
    """

    generation: str
    state: str
    recipe: str
    embedder: Mapping[str, Any] = field(default_factory=dict)
    document_schema: int = DOCUMENT_SCHEMA_VERSION
    created_by: str = f"raypipe {__version__}"
    restore: Mapping[str, Any] = field(default_factory=dict)
    summarizer: str = ""
    embedder_name: str = ""
    mapping: str = ""
    served: Sequence[Mapping[str, Any]] = ()

    @property
    def last_served(self) -> int:
        """Return the number of the last service; 0 if there is no record of it."""
        return max((int(entry.get("number", 0)) for entry in self.served), default=0)

    def with_service(self, number: int, at: str) -> IndexMetadata:
        """Return the metadata with one more service."""
        served = [*self.served, {"number": number, "at": at}]
        return replace(self, served=served[-_SERVICES_KEPT:])

    def as_dict(self) -> dict[str, Any]:
        """Return the metadata as JSON values."""
        cell = {**vars(self), "embedder": dict(self.embedder)}
        for name in ("restore", "summarizer", "embedder_name", "mapping", "served"):
            if not cell[name]:
                del cell[name]
        return dict(orjson.loads(orjson.dumps(cell, option=orjson.OPT_SERIALIZE_NUMPY)))


def new_metadata(spec: IndexSpec, mapping: str = "") -> IndexMetadata:
    """Return metadata with a new generation.

    Args:
        spec: Content of the index.
        mapping: Fingerprint of the fields that the index is created with.
    """
    return IndexMetadata(
        uuid.uuid4().hex,
        spec.state,
        spec.recipe,
        spec.embedder,
        summarizer=spec.summarizer,
        embedder_name=spec.embedder_name,
        mapping=mapping,
    )


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
        summarizer=str(cell.get("summarizer", "")),
        embedder_name=str(cell.get("embedder_name", "")),
        mapping=str(cell.get("mapping", "")),
        served=[entry for entry in cell.get("served") or () if isinstance(entry, Mapping)],
    )
