"""Find books by a description: words (BM25) and meaning (k-NN), fused by rank."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from raypipe.core.errors import SetupError
from raypipe.embedders.protocol import Embedder
from raypipe.opensearch.connection.errors import describe_cause
from raypipe.opensearch.index import Index, IndexAlias
from raypipe.opensearch.index.compatibility import embedder_differences
from raypipe.opensearch.index.nearest import knn_query
from raypipe.opensearch.query_text import shorten_query

FIELDS = ("title^3", "author^2", "summary", "keywords", "about")
WINDOW = 100
"""Hits of each ranking that are fused."""
RANK_CONSTANT = 60
"""Cormack, Clarke, Buettcher, "Reciprocal Rank Fusion outperforms Condorcet", SIGIR 2009."""
MAX_HITS = 1000
MAX_CLAUSES = 1000
"""Lucene refuses a query of more than 1,024 clauses; each word is one clause in each field."""
_SHOWN_FIELDS = ("key", "title", "author", "summary")
_JSON_LINE = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE


@dataclass(frozen=True)
class Hit:
    """One book of a search result; `score` is its fused score, higher is better, below 0.04."""

    rank: int
    book_id: str
    key: str
    title: str
    author: str
    score: float
    summary: str


class GoneError(SetupError):
    """The physical index was deleted."""


def search(alias: IndexAlias, embedder: Embedder, query: str, limit: int = 5) -> list[Hit]:
    """Return the books that fit a description best, best first.

    Args:
        alias: The index.
        embedder: The embedder whose vectors the index holds.
        query: Plain words; punctuation has no meaning.
        limit: Most hits, at most 1,000.

    Raises:
        SetupError: There is no such index, its vectors are of another embedder, or the server
            cannot be used.
    """
    index = open_for_search(alias, embedder)
    if not query.strip():
        return []
    vector = embedder.embed([query], input_type="query")[0]
    try:
        return search_vector(index, vector, query, limit)
    except GoneError:
        # The alias was switched at this moment, and the index behind it deleted.
        return search_vector(open_for_search(alias, embedder), vector, query, limit)


def open_for_search(alias: IndexAlias, embedder: Embedder) -> Index:
    """Return the index behind an alias if this embedder made its vectors.

    Raises:
        SetupError: There is no index, or another embedder made its vectors.
    """
    index, label = alias.find(), alias.config.label
    if index is None:
        raise SetupError(
            f"{label} does not exist; `raypipe run` creates it, or set another opensearch.index"
        )
    if not index.ref.generation:
        raise SetupError(f"{label} was not created by raypipe; set another opensearch.index")
    identity = orjson.loads(orjson.dumps(dict(embedder.identity())))
    indexed = index.ref.content.embedder
    if embedder_differences(indexed, identity):
        raise SetupError(
            f"{label} holds vectors of the embedder {_to_json(indexed)}, but this "
            f"search uses {_to_json(identity)}; use the embedder that the index was created with"
        )
    return index


def search_vector(
    index: Index, vector: NDArray[np.float32], query: str, limit: int = 5
) -> list[Hit]:
    """Return the fused hits of a query that is embedded already.

    Args:
        index: The index, from `open_for_search`.
        vector: Vector of the query, shape (dimension,).
        query: Words of the query.
        limit: Most hits.

    Raises:
        SetupError: The limit is out of its range, or the server cannot be used.
    """
    if not 1 <= limit <= MAX_HITS:
        raise SetupError(f"limit={limit} must be between 1 and {MAX_HITS}")
    bodies = [
        index.backend.search_body(body)
        for body in (_words_body(query, limit), _vector_body(vector, limit))
    ]
    # Not the alias: it may be switched between the two searches, and the halves of a result be
    # from two indices.
    header = orjson.dumps({"index": index.ref.physical}) + b"\n"
    lines = b"".join(header + orjson.dumps(body, option=_JSON_LINE) for body in bodies)
    response = index.connection.ask("POST", "/_msearch", body=lines)
    rankings = [_sources(index, part) for part in response["responses"]]
    sources = {source["book_id"]: source for ranking in rankings for source in ranking}
    fused = fuse([[source["book_id"] for source in ranking] for ranking in rankings])[:limit]
    return [
        Hit(
            rank=rank,
            book_id=book_id,
            score=round(score, 6),
            **{name: sources[book_id].get(name) or "" for name in _SHOWN_FIELDS},
        )
        for rank, (book_id, score) in enumerate(fused, start=1)
    ]


def fuse(rankings: Sequence[Sequence[str]]) -> list[tuple[str, float]]:
    """Return ids with their reciprocal rank fusion scores, best first, ties by id.

    Args:
        rankings: Ids of each ranking, best first.
    """
    scores: dict[str, float] = {}
    for ids in rankings:
        for rank, book_id in enumerate(ids, start=1):
            scores[book_id] = scores.get(book_id, 0.0) + 1.0 / (RANK_CONSTANT + rank)
    return sorted(scores.items(), key=lambda pair: (-pair[1], pair[0]))


def _words_body(query: str, limit: int) -> dict[str, Any]:
    words = shorten_query(query, MAX_CLAUSES // len(FIELDS))
    # most_fields adds up the scores of the fields: summary and keywords describe the same book.
    match = {"query": words, "fields": list(FIELDS), "type": "most_fields"}
    return _body({"multi_match": match}, limit)


def _vector_body(vector: NDArray[np.float32], limit: int) -> dict[str, Any]:
    k = max(50, 5 * limit)
    return _body(knn_query(np.asarray(vector, dtype=np.float32), k), limit)


def _body(query: dict[str, Any], limit: int) -> dict[str, Any]:
    return {
        "size": max(WINDOW, limit),
        "query": query,
        "_source": ["book_id", *_SHOWN_FIELDS],
        # Equal scores come in the same order each time, in whatever shard or segment they are.
        "sort": [{"_score": "desc"}, {"book_id": "asc"}],
        "track_total_hits": False,
    }


def _sources(index: Index, response: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the sources of a search's hits.

    Raises:
        GoneError: The index was deleted.
        SetupError: The search failed.
    """
    if "error" in response:
        is_deleted = response["error"].get("type") == "index_not_found_exception"
        raise (GoneError if is_deleted else SetupError)(
            f"{index.config.label} could not be searched: {describe_cause(response['error'])}"
        )
    return [hit["_source"] for hit in response["hits"]["hits"]]


def _to_json(identity: object) -> str:
    return orjson.dumps(identity, option=orjson.OPT_SORT_KEYS).decode()
