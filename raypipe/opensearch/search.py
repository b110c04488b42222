"""Find books by a description: words (BM25) and meaning (k-NN), fused by rank."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from raypipe.core.errors import SetupError
from raypipe.embedders.protocol import Embedder
from raypipe.opensearch.bulk.error_policy import described
from raypipe.opensearch.index.config import IndexConfig, IndexRef
from raypipe.opensearch.index.index import describe_index, find
from raypipe.opensearch.index.mapping import VECTOR, embedder_differences

FIELDS = ("title^3", "author^2", "summary", "keywords", "about")
WINDOW = 100
"""Hits of each kind that are fused."""
RANK_CONSTANT = 60
"""Cormack, Clarke, Buettcher, "Reciprocal Rank Fusion outperforms Condorcet", SIGIR 2009."""
_NEAREST = 10
MOST_HITS = 1000
MOST_CLAUSES = 1000
"""Lucene refuses a query of more than 1,024 clauses; each word makes one in each field."""
_SHOWN = ("key", "title", "author", "summary")
_FOUND = ("book_id", *_SHOWN)
_WORD = re.compile(r"\w+")
_SINGLE = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\uffff\U00010000-\U0010ffff]")
"""Scripts, and emoji, of which the analyzers make a term of about each character."""


@dataclass(frozen=True)
class Hit:
    """One found book; `score` is its fused score, higher is better, below 0.04."""

    rank: int
    book_id: str
    key: str
    title: str
    author: str
    score: float
    summary: str


class GoneError(SetupError):
    """The physical index is not there any more."""


def search(index: IndexConfig, embedder: Embedder, query: str, limit: int = 5) -> list[Hit]:
    """Return the books that a description fits best, best first.

    Args:
        index: Where to search; its alias.
        embedder: The one whose vectors the index holds.
        query: Plain words; punctuation has no meaning.
        limit: Most hits, at most 1,000.

    Raises:
        SetupError: No such index, another embedder than the index's, or the server's trouble.
    """
    handle = searchable(index, embedder)
    if not query.strip():
        return []
    vector = embedder.embed([query], input_type="query")[0]
    try:
        return search_vector(index, handle, vector, query, limit)
    except GoneError:
        # The alias went over, and the index behind it was deleted, in this moment.
        return search_vector(index, searchable(index, embedder), vector, query, limit)


def searchable(index: IndexConfig, embedder: Embedder) -> IndexRef:
    """Return the index if there is one and this embedder made its vectors.

    Raises:
        SetupError: There is none, or another made them; both are shown.
    """
    handle = find(index)
    if handle is None:
        raise SetupError(
            f"{describe_index(index)} is not there; `raypipe run` makes it, or give another name"
        )
    if not handle.generation:
        raise SetupError(
            f"{describe_index(index)} was not made by raypipe; give another opensearch.index"
        )
    mine = orjson.loads(orjson.dumps(dict(embedder.identity())))
    if embedder_differences(handle.embedder, mine):
        raise SetupError(
            f"{describe_index(index)} holds vectors of the embedder {_shown(handle.embedder)}, but this "
            f"search has {_shown(mine)}; give the embedder that the index was made with"
        )
    return handle


def search_vector(
    index: IndexConfig,
    handle: IndexRef,
    vector: NDArray[np.float32],
    query: str,
    limit: int = 5,
) -> list[Hit]:
    """Return the fused hits of a query that is embedded already.

    Args:
        index: Where to search.
        handle: The index, from `searchable`.
        vector: The query's vector, shape (dimension,).
        query: Its words.
        limit: Most hits.

    Raises:
        SetupError: The limit is out of its range, or the server's trouble.
    """
    if not 1 <= limit <= MOST_HITS:
        raise SetupError(f"limit={limit} must be between 1 and {MOST_HITS}")
    bodies = [_words_body(query, limit), _vector_body(vector, limit)]
    if not index.has_ids:
        # A book may have an older document beside its newest until the run ends.
        bodies = [{**body, "collapse": {"field": "book_id"}} for body in bodies]
    # Not the alias: it may go over between the two, and half an answer be another index's.
    header = orjson.dumps({"index": handle.physical}) + b"\n"
    lines = b"".join(header + orjson.dumps(body, option=_JSON) for body in bodies)
    answer = index.connection.ask("POST", "/_msearch", body=lines)
    lists = [_hits(index, one) for one in answer["responses"]]
    books = [[hit["_source"] for hit in hits] for hits in lists]
    sources = {source["book_id"]: source for one in books for source in one}
    fused = fuse([[source["book_id"] for source in one] for one in books])[:limit]
    return [
        Hit(
            rank=rank,
            book_id=book_id,
            score=round(score, 6),
            **{name: sources[book_id].get(name) or "" for name in _SHOWN},
        )
        for rank, (book_id, score) in enumerate(fused, start=1)
    ]


def is_nearest(
    index: IndexConfig, handle: IndexRef, book_id: str, vector: object, tolerance: float
) -> bool:
    """Whether a document is the nearest to its own vector, or as near as the nearest."""
    query = _near(vector, _NEAREST)
    body = {"size": _NEAREST, "query": query, "_source": False, "docvalue_fields": ["book_id"]}
    answer = index.connection.ask("POST", f"/{handle.physical}/_search", body=body)
    hits = answer["hits"]["hits"]
    best = hits[0]["_score"] if hits else 0.0
    # Of many equal vectors any ten may be answered.
    near = [hit["fields"]["book_id"][0] for hit in hits if hit["_score"] >= best - tolerance]
    return book_id in near or len(near) == _NEAREST


def fuse(lists: Sequence[Sequence[str]]) -> list[tuple[str, float]]:
    """Return ids with their reciprocal rank fusion scores, best first, ties by id.

    Args:
        lists: Ids of each ranking, best first.
    """
    scores: dict[str, float] = {}
    for ids in lists:
        for rank, book_id in enumerate(ids, start=1):
            scores[book_id] = scores.get(book_id, 0.0) + 1.0 / (RANK_CONSTANT + rank)
    return sorted(scores.items(), key=lambda pair: (-pair[1], pair[0]))


def words_of(query: str, most: int) -> str:
    """Return a query that makes at most about this many terms a field.

    A short query is returned as it is; of a long one its different words in order, for a
    description repeats itself more the longer it is.
    """
    query = query.encode("utf-8", "replace").decode()
    if _terms(query) <= most:
        return query
    words: list[str] = []
    seen: set[str] = set()
    left = most
    for word in _WORD.findall(query):
        # A text without spaces is one word here; the analyzers cut others at 255 characters.
        kept = word[: left if _SINGLE.search(word) else 255]
        cost = max(1, len(_SINGLE.findall(kept)))
        if word.lower() in seen:
            continue
        if cost > left:
            break
        seen.add(word.lower())
        words.append(kept)
        left -= cost
    return " ".join(words)


_JSON = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE


def _terms(query: str) -> int:
    return len(_WORD.findall(query)) + len(_SINGLE.findall(query))


def _words_body(query: str, limit: int) -> dict[str, Any]:
    words = words_of(query, MOST_CLAUSES // len(FIELDS))
    # most_fields adds up what each field says: a book is described by summary and keywords.
    match = {"query": words, "fields": list(FIELDS), "type": "most_fields"}
    return _body({"multi_match": match}, limit)


def _vector_body(vector: NDArray[np.float32], limit: int) -> dict[str, Any]:
    k = max(50, 5 * limit)
    return _body(_near(np.asarray(vector, dtype=np.float32), k), limit)


def _near(vector: object, k: int) -> dict[str, Any]:
    return {"knn": {VECTOR: {"vector": vector, "k": k}}}


def _body(query: dict[str, Any], limit: int) -> dict[str, Any]:
    return {
        "size": max(WINDOW, limit),
        "query": query,
        "_source": list(_FOUND),
        # Equal scores come in the same order each time, whatever shard or segment they are in.
        "sort": [{"_score": "desc"}, {"book_id": "asc"}],
        "track_total_hits": False,
    }


def _hits(index: IndexConfig, response: dict[str, Any]) -> list[dict[str, Any]]:
    if "error" in response:
        said = described(response["error"])
        gone = response["error"].get("type") == "index_not_found_exception"
        raise (GoneError if gone else SetupError)(
            f"{describe_index(index)} could not be searched: {said}"
        )
    return list(response["hits"]["hits"])


def _shown(identity: object) -> str:
    return orjson.dumps(identity, option=orjson.OPT_SORT_KEYS).decode()
