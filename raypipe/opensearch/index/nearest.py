"""Build k-NN queries, and check that a document is found by its own vector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from raypipe.opensearch.connection.answers import parsing
from raypipe.opensearch.connection.requester import Requester
from raypipe.opensearch.index.mapping import VECTOR

_CANDIDATES = 10


def knn_query(vector: object, k: int, filters: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """Return the query for the k documents that are nearest to a vector.

    Args:
        vector: The vector.
        k: Number of documents.
        filters: Clauses that each of these documents meets.
    """
    wanted: dict[str, Any] = {"vector": vector, "k": k}
    if filters:
        wanted["filter"] = {"bool": {"filter": list(filters)}}
    return {"knn": {VECTOR: wanted}}


def is_nearest(
    connection: Requester, physical: str, book_id: str, vector: object, tolerance: float
) -> bool:
    """Return whether a document is the nearest to its own vector, or as near as the nearest.

    Args:
        connection: Requester to the server.
        physical: Name of the index.
        book_id: The document.
        vector: Its vector.
        tolerance: Difference of scores that counts as equal.
    """
    body = {
        "size": _CANDIDATES,
        "query": knn_query(vector, _CANDIDATES),
        "_source": False,
        "docvalue_fields": ["book_id"],
    }
    response = connection.ask("POST", f"/{physical}/_search", body=body)
    with parsing(connection, f"a search of {physical}"):
        hits = response["hits"]["hits"]
        best = hits[0]["_score"] if hits else 0.0
        nearest = [hit["fields"]["book_id"][0] for hit in hits if hit["_score"] >= best - tolerance]
    # With more equal vectors than candidates, the response may contain any of them.
    return book_id in nearest or len(nearest) == _CANDIDATES
