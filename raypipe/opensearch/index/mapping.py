"""Fields of a document in the index, and the body of a new index."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from raypipe.core.fingerprint import fingerprint
from raypipe.opensearch.index.metadata import DOCUMENT_SCHEMA_VERSION, IndexMetadata

VECTOR = "summary_vector"
WRITE_ID = "write_id"
"""Id of the request that wrote a document, on servers without client ids: shows whether a request
with a lost response was executed."""
_LONGEST_TERM = 8191
"""`ignore_above` counts UTF-16 units; Lucene refuses terms over 32,766 bytes, 4 a unit at most."""

KEYWORD = {"type": "keyword", "ignore_above": _LONGEST_TERM}
LONG = {"type": "long"}
_TIME = {"type": "date", "format": "epoch_millis"}
# `english` stems and drops stop words, so that plurals and filler words of a description do not
# count; words of other languages pass through it unchanged, in texts and queries alike. A second
# analysis of the same words without stemming doubled the node's work per document (measured).
_TEXT = {"type": "text", "analyzer": "english"}
# Stored for display; searched through `about`.
_MODEL_TEXT = {"type": "text", "index": False, "copy_to": "about"}
_RAW = {"fields": {"raw": KEYWORD}}  # for sorting and grouping
FIELDS: dict[str, dict[str, Any]] = {
    "book_id": KEYWORD,  # `_id` again, because `_id` supports neither sorting nor paging
    "key": KEYWORD,
    "etag": KEYWORD,
    "source": KEYWORD,
    "size": LONG,
    "modified": _TIME,
    "title": {**_TEXT, **_RAW},
    "author": {"type": "text", "analyzer": "standard", **_RAW},
    "language": KEYWORD,
    "words": LONG,
    "encoding": KEYWORD,
    "flags": KEYWORD,
    "text_sha256": KEYWORD,
    "text_recipe": KEYWORD,
    "summary_recipe": KEYWORD,
    "document_recipe": KEYWORD,
    "summarizer": KEYWORD,
    "embedder": KEYWORD,
    "summary": _TEXT,
    "keywords": _TEXT,  # also searched as text: words that the summary does not contain
    "about": _TEXT,  # all of the following together, so that a search has one field more, not six
    "genre": {**KEYWORD, "copy_to": "about"},
    "setting": _MODEL_TEXT,
    "period": _MODEL_TEXT,
    "plot": _MODEL_TEXT,
    "themes": _MODEL_TEXT,
    "characters": _MODEL_TEXT,
    "sections": _MODEL_TEXT,
    "degraded": KEYWORD,
    "model_calls": LONG,
    "input_tokens": LONG,
    "output_tokens": LONG,
    "run_seq": LONG,  # of the run that wrote the document; equal to its version
    "finished_at": _TIME,
    "node_id": KEYWORD,
}
"""Mapping of every field but the vector."""
UNRECORDED_MAPPING = "7510175cfacd6a02"
"""`mapping_fingerprint` of the versions of raypipe that did not record it (0.1 to 67e9508)."""


def mapping_fingerprint() -> str:
    """Return a hash of the fields, by which an index of an older raypipe is recognized."""
    return fingerprint({"fields": FIELDS, "schema": DOCUMENT_SCHEMA_VERSION})


def index_body(
    dimension: int,
    metadata: IndexMetadata,
    *,
    engine: str = "lucene",
    settings: Mapping[str, Any] | None = None,
    extra_fields: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return settings and mappings of a new index.

    Args:
        dimension: Length of the vectors.
        metadata: raypipe's metadata for the mapping's `_meta`.
        engine: k-NN engine; m 16 and ef_construction 100 are both engines' documented defaults.
        settings: Further index settings, such as the number of shards.
        extra_fields: Further fields.
    """
    vector = {
        "type": "knn_vector",
        "dimension": dimension,
        "method": {
            "name": "hnsw",
            "engine": engine,
            "space_type": "cosinesimil",
            "parameters": {"m": 16, "ef_construction": 100},
        },
    }
    return {
        "settings": {"index": {"knn": True, **(settings or {})}},
        "mappings": {
            "dynamic": "strict",
            "_meta": {"raypipe": metadata.as_dict()},
            "properties": {**FIELDS, **(extra_fields or {}), VECTOR: vector},
        },
    }
