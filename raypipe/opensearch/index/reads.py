"""Read documents by their ids, and the fields that identify their versions."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

import orjson

from raypipe.core.errors import SetupError
from raypipe.opensearch.bulk.obstacles import find_obstacle
from raypipe.opensearch.connection.answers import parsing, parsing_or_retry, read_long
from raypipe.opensearch.connection.errors import describe_cause
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
        SetupError: The server cannot be used, or cannot read a document.
    """
    if not doc_ids:  # the server refuses an empty request
        return {}
    response = connection.ask(
        "POST",
        f"/{target}/_mget",
        params={"_source_includes": ",".join(fields)},
        body={"ids": list(doc_ids)},
    )
    with parsing(connection, f"POST /{target}/_mget"):
        documents = {document["_id"]: document for document in response["docs"]}
        for document in documents.values():
            if cause := document.get("error"):
                raise SetupError(
                    f"{target} at {connection.endpoint} could not be read: "
                    f"{describe_cause(cause)}; check the health of the cluster, and run the "
                    "command again"
                )
        asked = {doc_id: documents[doc_id] for doc_id in doc_ids}
        return {
            doc_id: dict(document.get("_source", {})) if document.get("found") else None
            for doc_id, document in asked.items()
        }


def get_cells(
    connection: Requester, target: str, doc_ids: Collection[str], fields: Collection[str]
) -> dict[str, dict[str, Any] | None]:
    """Return `_source` and `_version` of the documents with these ids, None for a missing one.

    Raises:
        opensearchpy.exceptions.OpenSearchException: The request failed; it is not retried.
    """
    if not doc_ids:  # the server refuses an empty request
        return {}
    response = connection.send(
        "POST",
        f"/{target}/_mget",
        params={"_source_includes": ",".join(fields)},
        body=orjson.dumps({"ids": list(doc_ids)}),
    )
    with parsing_or_retry(f"POST /{target}/_mget"):
        cells = {document["_id"]: _to_cell(document) for document in response["docs"]}
        return {doc_id: cells[doc_id] for doc_id in doc_ids}


def _to_cell(document: dict[str, Any]) -> dict[str, Any] | None:
    """Return a found document; None for a missing one, which a document in error is not."""
    from opensearchpy.exceptions import TransportError

    if cause := document.get("error"):
        status = 400 if find_obstacle(cause) else 503
        raise TransportError(status, str(cause["type"]), {"error": cause, "status": status})
    if not document.get("found"):
        return None
    source, version = dict(document.get("_source", {})), read_long(document["_version"])
    _ = int(source.get("run_seq") or 0)
    return {"_source": source, "_version": version}
