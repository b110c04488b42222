"""Read all hits of a query page by page, from one point in time."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from raypipe.core.errors import SetupError
from raypipe.opensearch.connection.answers import parsing, read_long
from raypipe.opensearch.connection.failures import not_opensearch
from raypipe.opensearch.connection.requester import Requester

log = logging.getLogger(__name__)

PAGE_SIZE = 2000
"""Hits in a page; the server allows 10,000 (`index.max_result_window`)."""
KEEP_ALIVE = "5m"


def iter_hits(
    connection: Requester, physical: str, body: Mapping[str, Any], page_size: int = PAGE_SIZE
) -> Iterator[dict[str, Any]]:
    """Yield every hit in order, in bounded memory; refresh the index first to see all.

    Each page is a search after the last hit of the previous one, within one point in time where
    the server supports it (OpenSearch 2.4 and later), so that concurrent writes neither hide nor
    duplicate a document.

    Args:
        connection: Requester to the server.
        physical: Name of the physical index.
        body: The search, with a `sort` in which no two hits are equal.
        page_size: Hits in one request.

    Raises:
        SetupError: A shard did not answer; a part of the index is never returned as the whole.
    """
    pit = _open_point_in_time(connection, physical)
    path = "/_search" if pit else f"/{physical}/_search"
    moment = {"pit": {"id": pit, "keep_alive": KEEP_ALIVE}} if pit else {}
    search: dict[str, Any] = {"size": page_size, "track_total_hits": False, **body, **moment}
    try:
        while True:
            response = connection.ask("POST", path, body=search)
            check_complete(connection, physical, response)
            with parsing(connection, f"POST {path}"):
                hits = list[Any](response["hits"]["hits"])
                last = [_check_scalar(value) for value in hits[-1]["sort"]] if hits else None
            yield from hits
            if len(hits) < page_size:
                return
            if last == search.get("search_after"):
                raise not_opensearch(connection.endpoint, f"POST {path}")  # it would never end
            search["search_after"] = last
    finally:
        if pit:
            _close_point_in_time(connection, pit)


def count_documents(
    connection: Requester, physical: str, query: Mapping[str, Any] | None = None
) -> int:
    """Return the number of documents that a search finds; refresh the index first to count all.

    Raises:
        SetupError: A shard did not answer.
    """
    body = {"query": query} if query else None
    response = connection.ask("POST", f"/{physical}/_count", body=body)
    check_complete(connection, physical, response)
    with parsing(connection, f"POST /{physical}/_count"):
        return read_long(response["count"])


def check_complete(connection: Requester, physical: str, response: Any) -> None:
    """Raise `SetupError` if a response covers only a part of the index."""
    with parsing(connection, f"a request to {physical}"):
        is_partial = response.get("_shards", {}).get("failed", 0) or response.get("timed_out")
    if is_partial:
        raise SetupError(
            f"{physical} at {connection.endpoint} answered for some of its shards only; wait until "
            "its health is green or yellow and try again"
        )


def _check_scalar(value: Any) -> Any:
    """Return a value to sort by, which is sent back to the server."""
    if isinstance(value, list | dict):
        raise TypeError("not a value to sort by")
    return value


def _open_point_in_time(connection: Requester, physical: str) -> str | None:
    response = connection.ask(
        "POST",
        f"/{physical}/_search/point_in_time",
        params={"keep_alive": KEEP_ALIVE, "allow_partial_pit_creation": "false"},
        ignore=(400, 404, 405),  # responses of servers that do not support it
    )
    if response is None:
        log.info("The server has no points in time: concurrent writes may be missed")
        return None
    with parsing(connection, f"POST /{physical}/_search/point_in_time"):
        return str(response["pit_id"])


def _close_point_in_time(connection: Requester, pit: str) -> None:
    try:
        connection.ask("DELETE", "/_search/point_in_time", body={"pit_id": [pit]})
    except SetupError:
        log.info("A point in time could not be closed; it expires in %s", KEEP_ALIVE)
