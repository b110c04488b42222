"""What stands in the index: refresh, count, all ids, and documents by their ids."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

import orjson

from raypipe.errors import SetupError
from raypipe.opensearch.settings import IndexHandle, OpenSearchIndex

log = logging.getLogger(__name__)

PAGE = 2000
"""Ids a page; the server allows 10,000 (`index.max_result_window`)."""
KEEP_ALIVE = "5m"
FATE = ("etag", "document_recipe", "run_seq")
"""What says which version of which book a document is."""


class IndexedBook(NamedTuple):
    """One document's id and what it was made from."""

    book_id: str
    etag: str
    document_recipe: str
    run_seq: int


def refresh(index: OpenSearchIndex, handle: IndexHandle) -> None:
    """Make what was written findable."""
    index.connection.ask("POST", f"/{handle.physical}/_refresh")


def count(index: OpenSearchIndex, handle: IndexHandle) -> int:
    """Return how many documents a search sees; `refresh` first to count all."""
    answer = index.connection.ask("GET", f"/{handle.physical}/_count")
    _whole(index, handle, answer)
    return int(answer["count"])


def scan_ids(
    index: OpenSearchIndex, handle: IndexHandle, *, page: int = PAGE
) -> Iterator[IndexedBook]:
    """Yield every document in id order, in bounded memory; `refresh` first to see all.

    Pages are searches after the last id within one point in time, where the server has them
    (OpenSearch 2.4 and later), so that writes meanwhile neither hide nor double a document.

    Raises:
        SetupError: A shard did not answer: a part of the index is never taken for the whole.
    """
    pit = _open(index, handle)
    path = "/_search" if pit else f"/{handle.physical}/_search"
    body: dict[str, Any] = {
        "size": page,
        "_source": False,
        # From doc values: loading sources would read each text and rebuild each vector.
        "docvalue_fields": list(FATE),
        "sort": [{"book_id": "asc"}],
        "track_total_hits": False,
        **({"pit": {"id": pit, "keep_alive": KEEP_ALIVE}} if pit else {}),
    }
    try:
        while True:
            answer = index.connection.ask("POST", path, body=body)
            _whole(index, handle, answer)
            hits = answer["hits"]["hits"]
            yield from map(_indexed, hits)
            if len(hits) < page:
                return
            body["search_after"] = hits[-1]["sort"]
    finally:
        if pit:
            _close(index, pit)


def mget(
    index: OpenSearchIndex,
    handle: IndexHandle,
    book_ids: Collection[str],
    fields: Collection[str] = FATE,
) -> dict[str, dict[str, Any] | None]:
    """Return the fields of the documents with these ids as last written, None where missing.

    It sees what no refresh has made findable yet.

    Raises:
        opensearchpy.exceptions.OpenSearchException: As opensearch-py raises it; not tried again.
    """
    answer = index.connection.send(
        "POST",
        f"/{handle.target}/_mget",
        params={"_source_includes": ",".join(fields)},
        body=orjson.dumps({"ids": list(book_ids)}),
    )
    return {
        doc["_id"]: doc.get("_source", {}) if doc.get("found") else None for doc in answer["docs"]
    }


def _open(index: OpenSearchIndex, handle: IndexHandle) -> str | None:
    answer = index.connection.ask(
        "POST",
        f"/{handle.physical}/_search/point_in_time",
        params={"keep_alive": KEEP_ALIVE, "allow_partial_pit_creation": "false"},
        ignore=(400, 405),  # what servers say that don't know it
    )
    if answer is None:
        log.info("No point in time on this server: writes meanwhile may be missed")
        return None
    return str(answer["pit_id"])


def _close(index: OpenSearchIndex, pit: str) -> None:
    try:
        index.connection.ask("DELETE", "/_search/point_in_time", body={"pit_id": [pit]})
    except SetupError:
        log.info("A point in time could not be closed; it ends by itself in %s", KEEP_ALIVE)


def _whole(index: OpenSearchIndex, handle: IndexHandle, answer: Any) -> None:
    if answer.get("_shards", {}).get("failed", 0) or answer.get("timed_out"):
        raise SetupError(
            f"{handle.physical} at {index.connection.endpoint} answered for a part of its shards "
            "only; wait until its health is green or yellow and try again"
        )


def _indexed(hit: dict[str, Any]) -> IndexedBook:
    values = hit.get("fields", {})
    etag, recipe, run_seq = (values.get(name, [""])[0] for name in FATE)
    return IndexedBook(str(hit["sort"][0]), str(etag), str(recipe), int(run_seq or 0))
