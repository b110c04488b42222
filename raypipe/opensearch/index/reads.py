"""What stands in the index: refresh, all ids, and documents by their ids."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

import orjson

from raypipe.opensearch.index import serverless as collection
from raypipe.opensearch.index.config import IndexConfig, IndexRef
from raypipe.opensearch.index.pagination import PAGE, pages

FATE = ("etag", "document_recipe", "run_seq")
"""What says which version of which book a document is."""


class IndexedBook(NamedTuple):
    """One document's id and what it was made from."""

    book_id: str
    etag: str
    document_recipe: str
    run_seq: int


def refresh(index: IndexConfig, handle: IndexRef) -> None:
    """Make what was written findable; a server without refresh shows it by itself, later."""
    if index.has_ids:
        index.connection.ask("POST", f"/{handle.physical}/_refresh")


def scan_ids(index: IndexConfig, handle: IndexRef, *, page: int = PAGE) -> Iterator[IndexedBook]:
    """Yield every book's newest document in id order, in bounded memory; `refresh` first.

    Raises:
        SetupError: A shard did not answer: a part of the index is never taken for the whole.
    """
    body = {
        "_source": False,
        # From doc values: loading sources would read each text and rebuild each vector.
        "docvalue_fields": list(FATE),
        "sort": [{"book_id": "asc"}] if index.has_ids else collection.NEWEST_FIRST,
    }
    last = None
    for hit in pages(index, handle, body, page):
        found = _indexed(hit)
        if found.book_id != last:
            yield found
        last = found.book_id


def mget(
    index: IndexConfig,
    handle: IndexRef,
    book_ids: Collection[str],
    fields: Collection[str] = FATE,
) -> dict[str, dict[str, Any] | None]:
    """Return the fields of the documents with these ids as last written, None where missing.

    It sees what no refresh has made findable yet, but on a server that takes no ids.

    Raises:
        opensearchpy.exceptions.OpenSearchException: As opensearch-py raises it; not tried again.
    """
    if not index.has_ids:
        return collection.newest(index, handle, book_ids, fields)
    answer = index.connection.send(
        "POST",
        f"/{handle.target}/_mget",
        params={"_source_includes": ",".join(fields)},
        body=orjson.dumps({"ids": list(book_ids)}),
    )
    return {
        doc["_id"]: doc.get("_source", {}) if doc.get("found") else None for doc in answer["docs"]
    }


def _indexed(hit: dict[str, Any]) -> IndexedBook:
    values = hit.get("fields", {})
    etag, recipe, run_seq = (values.get(name, [""])[0] for name in FATE)
    return IndexedBook(str(hit["sort"][0]), str(etag), str(recipe), int(run_seq or 0))
