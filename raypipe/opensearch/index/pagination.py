"""All hits of a query, page by page, as they were at one moment."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from raypipe.core.errors import SetupError
from raypipe.opensearch.index.config import IndexConfig, IndexRef

log = logging.getLogger(__name__)

PAGE = 2000
"""Hits a page; the server allows 10,000 (`index.max_result_window`)."""
KEEP_ALIVE = "5m"


def pages(
    index: IndexConfig, handle: IndexRef, body: Mapping[str, Any], page: int = PAGE
) -> Iterator[dict[str, Any]]:
    """Yield every hit in order, in bounded memory; `refresh` first to see all.

    Pages are searches after the last hit within one point in time, where the server has them
    (OpenSearch 2.4 and later), so that writes meanwhile neither hide nor double a document.

    Args:
        index: Where.
        handle: The index.
        body: The search, with a `sort` in which no two hits are equal.
        page: Hits of one request.

    Raises:
        SetupError: A shard did not answer: a part of the index is never taken for the whole.
    """
    pit = _open(index, handle)
    path = "/_search" if pit else f"/{handle.physical}/_search"
    moment = {"pit": {"id": pit, "keep_alive": KEEP_ALIVE}} if pit else {}
    asked: dict[str, Any] = {"size": page, "track_total_hits": False, **body, **moment}
    try:
        while True:
            answer = index.connection.ask("POST", path, body=asked)
            check_whole(index, handle, answer)
            hits = answer["hits"]["hits"]
            yield from hits
            if len(hits) < page:
                return
            asked["search_after"] = hits[-1]["sort"]
    finally:
        if pit:
            _close(index, pit)


def count(index: IndexConfig, handle: IndexRef, query: Mapping[str, Any] | None = None) -> int:
    """Return how many documents a search sees; `refresh` first to count all.

    Raises:
        SetupError: A shard did not answer.
    """
    body = {"query": query} if query else None
    answer = index.connection.ask("POST", f"/{handle.physical}/_count", body=body)
    check_whole(index, handle, answer)
    return int(answer["count"])


def check_whole(index: IndexConfig, handle: IndexRef, answer: Any) -> None:
    """Raise `SetupError` if an answer is that of a part of the index."""
    if answer.get("_shards", {}).get("failed", 0) or answer.get("timed_out"):
        raise SetupError(
            f"{handle.physical} at {index.connection.endpoint} answered for a part of its shards "
            "only; wait until its health is green or yellow and try again"
        )


def _open(index: IndexConfig, handle: IndexRef) -> str | None:
    answer = index.connection.ask(
        "POST",
        f"/{handle.physical}/_search/point_in_time",
        params={"keep_alive": KEEP_ALIVE, "allow_partial_pit_creation": "false"},
        ignore=(400, 404, 405),  # what servers say that don't know it
    )
    if answer is None:
        log.info("No point in time on this server: writes meanwhile may be missed")
        return None
    return str(answer["pit_id"])


def _close(index: IndexConfig, pit: str) -> None:
    try:
        index.connection.ask("DELETE", "/_search/point_in_time", body={"pit_id": [pit]})
    except SetupError:
        log.info("A point in time could not be closed; it ends by itself in %s", KEEP_ALIVE)
