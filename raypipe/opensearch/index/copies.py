"""Find a book's documents by field, on servers that make the ids themselves.

The fields `book_id`, `run_seq` and `write_id` identify a document. A book may have several
documents, after a request with a lost response or a repeated task: the newest one counts, and the
end of a run deletes the others.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

import orjson

from raypipe.opensearch.connection.answers import parsing, parsing_or_retry
from raypipe.opensearch.connection.requester import Requester
from raypipe.opensearch.index.mapping import WRITE_ID
from raypipe.opensearch.index.pagination import iter_hits

NEWEST_FIRST = [{"book_id": "asc"}, {"run_seq": "desc"}, {WRITE_ID: "desc"}]
"""Sort order without equal documents: a request carries a book once."""
_MAX_HITS = 10_000
"""Most hits of a search (`index.max_result_window`)."""
_TERMS_PER_QUERY = 1_000


class Copy(NamedTuple):
    """One document of a book."""

    book_id: str
    run_seq: int
    server_id: str


def find_by_write_id(connection: Requester, physical: str, write_id: str) -> set[str]:
    """Return the ids of the books that a search finds of one bulk request.

    Raises:
        opensearchpy.exceptions.OpenSearchException: The request failed; it is not retried.
    """
    body = {
        "size": _MAX_HITS,
        "_source": False,
        "docvalue_fields": ["book_id"],
        "query": {"term": {WRITE_ID: write_id}},
        "track_total_hits": False,
    }
    response = connection.send("POST", f"/{physical}/_search", body=orjson.dumps(body))
    with parsing_or_retry("a search"):
        return {str(hit["fields"]["book_id"][0]) for hit in response["hits"]["hits"]}


def read_newest(
    connection: Requester, physical: str, book_ids: Collection[str], fields: Collection[str]
) -> dict[str, dict[str, Any] | None]:
    """Return fields of each book's newest document that a search finds, None where missing.

    Raises:
        SetupError: The server cannot be used.
    """
    newest: dict[str, dict[str, Any] | None] = dict.fromkeys(book_ids)
    for query in _queries_for(book_ids):
        body = {"_source": list(fields), "query": query, "sort": NEWEST_FIRST}
        for hit in iter_hits(connection, physical, body):
            with parsing(connection, f"a search of {physical}"):
                book_id = str(hit["sort"][0])
                if newest[book_id] is None:
                    newest[book_id] = dict(hit["_source"])
    return newest


def iter_copies_of(
    connection: Requester, physical: str, book_ids: Collection[str]
) -> Iterator[Copy]:
    """Yield every document of these books that a search finds.

    Raises:
        SetupError: The server cannot be used.
    """
    for query in _queries_for(book_ids):
        yield from iter_copies(connection, physical, query)


def iter_copies(
    connection: Requester, physical: str, query: Mapping[str, Any] | None = None
) -> Iterator[Copy]:
    """Yield every document that a search finds, by book, the newest first.

    Raises:
        SetupError: The server cannot be used.
    """
    body = {"_source": False, "sort": NEWEST_FIRST, **({"query": query} if query else {})}
    for hit in iter_hits(connection, physical, body):
        with parsing(connection, f"a search of {physical}"):
            copy = Copy(str(hit["sort"][0]), int(hit["sort"][1]), str(hit["_id"]))
        yield copy


def _queries_for(book_ids: Collection[str]) -> Iterator[dict[str, Any]]:
    ids = sorted(book_ids)
    for start in range(0, len(ids), _TERMS_PER_QUERY):
        yield {"terms": {"book_id": ids[start : start + _TERMS_PER_QUERY]}}
