"""Find books by a description: words (BM25) and meaning (k-NN), fused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from raypipe.core.errors import SetupError
from raypipe.embedders.protocol import Embedder
from raypipe.opensearch.connection.answers import parsing
from raypipe.opensearch.connection.errors import describe_cause
from raypipe.opensearch.index import Index, IndexAlias
from raypipe.opensearch.index.compatibility import embedder_differences
from raypipe.opensearch.search.filters import NO_FILTERS, Filters
from raypipe.opensearch.search.fusion import check_fusion, fuse
from raypipe.opensearch.search.query import SHOWN_FIELDS, titles_body, vector_body, words_body

MAX_HITS = 1000
_REQUEST = "POST /_msearch"
_JSON_LINE = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE


@dataclass(frozen=True)
class Hit:
    """A book of a search result.

    Attributes:
        rank: Position in the result, from 1.
        book_id: Id of the book.
        key: Key of the book in its source.
        title: Title; the file name if the book states no title.
        author: Author; empty if unknown.
        score: Fused score, higher is better; compare it within one result only. With
            `fusion="scores"`, the BM25 score divided by the best BM25 score of the result, plus
            0.3 times the k-NN score scaled to 0 to 1: 0 to 1.3. With `fusion="rrf"`, the sum of
            1 / (60 + rank) in each of the two: below 0.033.
        summary: Summary of the book.
    """

    rank: int
    book_id: str
    key: str
    title: str
    author: str
    score: float
    summary: str


class GoneError(SetupError):
    """The physical index was deleted."""


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
    index: Index,
    vector: NDArray[np.float32],
    query: str,
    limit: int = 5,
    fusion: str = "scores",
    filters: Filters = NO_FILTERS,
) -> list[Hit]:
    """Return the fused hits of a query that is embedded already.

    Args:
        index: The index, from `open_for_search`.
        vector: Vector of the query, shape (dimension,).
        query: Words of the query.
        limit: Most hits.
        fusion: `scores` or `rrf`, as in `search`.
        filters: Conditions that every hit meets.

    Raises:
        SetupError: The limit is out of its range, there is no such fusion, or the server cannot
            be used.
    """
    check_fusion(fusion)
    _check_limit(limit)
    clauses = filters.clauses()
    halves = _send(index, words_body(query, limit, clauses), vector_body(vector, limit, clauses))
    with parsing(index.connection, _REQUEST):
        sources = {hit["_source"]["book_id"]: hit["_source"] for hits in halves for hit in hits}
        words, vectors = (
            [(hit["_source"]["book_id"], float(hit["_score"])) for hit in hits] for hits in halves
        )
        fused = fuse(words, vectors, fusion)[:limit]
        return [
            _to_hit(rank, round(score, 6), sources[book_id])
            for rank, (book_id, score) in enumerate(fused, start=1)
        ]


def list_titles(index: Index, limit: int, filters: Filters) -> list[Hit]:
    """Return the books that meet the filters, by title, with the score 0.

    Args:
        index: The index, from `open_for_search`.
        limit: Most hits.
        filters: Conditions that every hit meets.

    Raises:
        SetupError: The limit is out of its range, or the server cannot be used.
    """
    _check_limit(limit)
    [found] = _send(index, titles_body(limit, filters.clauses()))
    with parsing(index.connection, _REQUEST):
        return [_to_hit(rank, 0.0, hit["_source"]) for rank, hit in enumerate(found, start=1)]


def _check_limit(limit: int) -> None:
    if not 1 <= limit <= MAX_HITS:
        raise SetupError(f"limit={limit} must be between 1 and {MAX_HITS}")


def _send(index: Index, *bodies: dict[str, Any]) -> list[list[dict[str, Any]]]:
    """Send searches in one request; return the hits of each, best first."""
    # Not the alias: it may be switched between the two searches, and the halves of a result be
    # from two indices.
    header = orjson.dumps({"index": index.ref.physical}) + b"\n"
    lines = b"".join(
        header + orjson.dumps(index.backend.search_body(body), option=_JSON_LINE) for body in bodies
    )
    response = index.connection.ask("POST", "/_msearch", body=lines)
    with parsing(index.connection, _REQUEST):
        return [_hits(index, part) for part in response["responses"]]


def _to_hit(rank: int, score: float, source: dict[str, Any]) -> Hit:
    shown = {name: source.get(name) or "" for name in SHOWN_FIELDS}
    return Hit(rank=rank, book_id=source["book_id"], score=score, **shown)


def _hits(index: Index, response: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the hits of one search, best first.

    Raises:
        GoneError: The index was deleted.
        SetupError: The search failed.
    """
    if "error" in response:
        is_deleted = response["error"].get("type") == "index_not_found_exception"
        raise (GoneError if is_deleted else SetupError)(
            f"{index.config.label} could not be searched: {describe_cause(response['error'])}"
        )
    hits: list[dict[str, Any]] = response["hits"]["hits"]
    return hits


def _to_json(identity: object) -> str:
    return orjson.dumps(identity, option=orjson.OPT_SORT_KEYS).decode()
