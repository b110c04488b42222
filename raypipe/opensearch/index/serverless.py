"""Serverless collections for vectors: the server makes the ids, and shows what it has later.

What stands for a book is told by fields: `book_id`, the run's number, and the request that wrote
it. A document may stand there twice, after a request whose answer was lost or a task that was
tried again: the newest counts, and a run deletes the others at its end.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

import orjson

from raypipe.opensearch.index.config import IndexConfig, IndexRef
from raypipe.opensearch.index.mapping import WRITE_ID
from raypipe.opensearch.index.pagination import count, pages

log = logging.getLogger(__name__)

LOOK_S = 2.0
"""What was written is looked for so often."""
NEWEST_FIRST = [{"book_id": "asc"}, {"run_seq": "desc"}, {WRITE_ID: "desc"}]
"""No two documents are equal in all three: a request carries a book once."""
_MOST = 10_000
"""Hits of a search, at most (`index.max_result_window`)."""
_TERMS = 1_000


class Copy(NamedTuple):
    """One document of a book."""

    book_id: str
    run_seq: int
    server_id: str


def arrived(index: IndexConfig, handle: IndexRef, write_id: str) -> set[str]:
    """Return the ids of the books that a search sees of one bulk request.

    Raises:
        opensearchpy.exceptions.OpenSearchException: As opensearch-py raises it; not tried again.
    """
    body = {
        "size": _MOST,
        "_source": False,
        "docvalue_fields": ["book_id"],
        "query": {"term": {WRITE_ID: write_id}},
        "track_total_hits": False,
    }
    path = f"/{handle.physical}/_search"
    answer = index.connection.send("POST", path, body=orjson.dumps(body))
    return {str(hit["fields"]["book_id"][0]) for hit in answer["hits"]["hits"]}


def visibility_polls(index: IndexConfig) -> Iterator[bool]:
    """Yield when it is time to look for what was done, and whether for the last time.

    A server that takes ids shows it at once: one look is enough.
    """
    end = time.monotonic() + (0.0 if index.has_ids else index.visible_s)
    while time.monotonic() < end:
        yield False
        time.sleep(max(0.0, min(LOOK_S, end - time.monotonic())))
    yield True


def wait_until_visible(
    index: IndexConfig, handle: IndexRef, book_ids: Collection[str], run_seq: int
) -> None:
    """Wait until a search sees what a run wrote; tells what it does not see in time.

    Raises:
        SetupError: The server cannot be used.
    """
    wanted, query = set(book_ids), {"term": {"run_seq": run_seq}}
    if not wanted:
        return
    missing = wanted
    for last in visibility_polls(index):
        if last or count(index, handle, query) >= len(wanted):
            missing = wanted - {one.book_id for one in copies(index, handle, query)}
        if not missing:
            return
    log.warning(
        "%s does not show yet %s books that it took %g s ago (opensearch.visible_s); "
        "`raypipe verify` says when it does",
        handle.physical,
        f"{len(missing):,}",
        index.visible_s,
    )


def newest(
    index: IndexConfig, handle: IndexRef, book_ids: Collection[str], fields: Collection[str]
) -> dict[str, dict[str, Any] | None]:
    """Return the fields of the newest document of each book that a search sees, None where missing.

    Raises:
        SetupError: The server cannot be used.
    """
    found: dict[str, dict[str, Any] | None] = dict.fromkeys(book_ids)
    for query in _of(book_ids):
        body = {"_source": list(fields), "query": query, "sort": NEWEST_FIRST}
        for hit in pages(index, handle, body):
            book_id = str(hit["sort"][0])
            if found[book_id] is None:
                found[book_id] = hit["_source"]
    return found


def copies_of(index: IndexConfig, handle: IndexRef, book_ids: Collection[str]) -> Iterator[Copy]:
    """Yield every document of these books that a search sees.

    Raises:
        SetupError: The server cannot be used.
    """
    for query in _of(book_ids):
        yield from copies(index, handle, query)


def copies(
    index: IndexConfig, handle: IndexRef, query: Mapping[str, Any] | None = None
) -> Iterator[Copy]:
    """Yield every document that a search sees, by book, the newest first.

    Raises:
        SetupError: The server cannot be used.
    """
    body = {"_source": False, "sort": NEWEST_FIRST, **({"query": query} if query else {})}
    for hit in pages(index, handle, body):
        yield Copy(str(hit["sort"][0]), int(hit["sort"][1]), str(hit["_id"]))


def _of(book_ids: Collection[str]) -> Iterator[dict[str, Any]]:
    ids = sorted(book_ids)
    for at in range(0, len(ids), _TERMS):
        yield {"terms": {"book_id": ids[at : at + _TERMS]}}
