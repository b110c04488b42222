"""Read documents by their ids, and the fields that identify their versions."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

import orjson

from raypipe.opensearch.connection.requester import Requester

VERSION_FIELDS = ("etag", "document_recipe", "run_seq")
"""Fields that identify the version of a document."""


class IndexedBook(NamedTuple):
    """Id and version of one indexed document."""

    book_id: str
    etag: str
    document_recipe: str
    run_seq: int


def to_indexed_book(hit: dict[str, Any]) -> IndexedBook:
    """Return the version of a hit with `VERSION_FIELDS` as doc values, sorted by book first."""
    values = hit.get("fields", {})
    etag, recipe, run_seq = (values.get(name, [""])[0] for name in VERSION_FIELDS)
    return IndexedBook(str(hit["sort"][0]), str(etag), str(recipe), int(run_seq or 0))


def multi_get(
    connection: Requester, target: str, doc_ids: Collection[str], fields: Collection[str]
) -> dict[str, dict[str, Any] | None]:
    """Return fields of the documents with these ids, None for a missing document.

    Sees writes before a refresh.

    Raises:
        opensearchpy.exceptions.OpenSearchException: The request failed; it is not retried.
    """
    response = connection.send(
        "POST",
        f"/{target}/_mget",
        params={"_source_includes": ",".join(fields)},
        body=orjson.dumps({"ids": list(doc_ids)}),
    )
    return {
        document["_id"]: document.get("_source", {}) if document.get("found") else None
        for document in response["docs"]
    }
