"""Build the two queries of a search: by words (BM25), and by vector (k-NN).

The query by words adds up a description clause and, if it is short, a metadata clause, which finds
books by title and author.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raypipe.opensearch.index.nearest import knn_query
from raypipe.opensearch.search.query_text import count_terms, shorten_query

SHOWN_FIELDS = ("key", "title", "author", "summary")
DESCRIPTION_FIELDS = ("title", "author", "summary^0.25", "keywords", "about")
"""An extractive summary is a sample of sentences and says less about a book than its keywords.
`about` has the genre, plot and characters that a model wrote, and is empty without a model."""
METADATA_FIELDS = ("title", "author")
EXACT_BOOST = 2
"""Boost of books whose title and author contain all words as typed, so that a similar word in
another title cannot outrank them."""
MAX_CLAUSES = 1000
"""Lucene refuses a query of more than 1,024 clauses; each word is one clause in each field."""
MAX_METADATA_TERMS = 16
"""Longer queries are descriptions: no metadata clause."""
MAX_EXPANSIONS = 25
"""Similar words of the index for each typed word and field; each is a clause."""
WINDOW = 100
"""Hits of each query that are fused."""
_MIN_NEIGHBORS = 50
_NEIGHBORS_PER_HIT = 5
_WORD = re.compile(r"\w")
_EDGES = re.compile(r"^\W+|\W+$")
_ENGLISH_STOP_WORDS = (
    "a an and are as at be but by for if in into is it no not of on or such that the their then "
    "there these they this to was will with"
)
"""Words that the analyzer `english` drops, so that no title matches them."""
_STOP_WORDS = frozenset(_ENGLISH_STOP_WORDS.split())


def words_body(query: str, limit: int, filters: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """Return the search by words.

    Args:
        query: Plain words.
        limit: Most hits that are wanted.
        filters: Clauses that every hit meets.
    """
    return _body(_words_query(query, filters), limit)


def vector_body(
    vector: NDArray[np.float32], limit: int, filters: Sequence[Mapping[str, Any]] = ()
) -> dict[str, Any]:
    """Return the search for the nearest vectors.

    Args:
        vector: Vector of the query, shape (dimension,).
        limit: Most hits that are wanted.
        filters: Clauses that every hit meets; the nearest are found among these books.
    """
    k = max(_MIN_NEIGHBORS, _NEIGHBORS_PER_HIT * limit)
    return _body(knn_query(np.asarray(vector, dtype=np.float32), k, filters), limit)


def titles_body(limit: int, filters: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the search for the books that meet the filters, by title.

    Args:
        limit: Most hits that are wanted.
        filters: Clauses that every hit meets.
    """
    query = {"bool": {"filter": list(filters)}}
    return {**_body(query, limit), "size": limit, "sort": ["title.raw", "book_id"]}


def _body(query: dict[str, Any], limit: int) -> dict[str, Any]:
    return {
        "size": max(WINDOW, limit),
        "query": query,
        "_source": ["book_id", *SHOWN_FIELDS],
        # Equal scores come in the same order each time, in whatever shard or segment they are.
        "sort": [{"_score": "desc"}, {"book_id": "asc"}],
        "track_total_hits": False,
    }


def _words_query(query: str, filters: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    query = shorten_query(query, MAX_CLAUSES // len(DESCRIPTION_FIELDS))
    # most_fields adds up the scores of the fields: summary and keywords describe the same book.
    fields = {"fields": list(DESCRIPTION_FIELDS), "type": "most_fields"}
    clauses: list[dict[str, Any]] = [{"multi_match": {"query": query, **fields}}]
    if count_terms(query) <= MAX_METADATA_TERMS:
        clauses += _metadata_clauses(query)
    if filters:  # without `minimum_should_match`, every book that meets them would be a hit
        return {"bool": {"should": clauses, "minimum_should_match": 1, "filter": list(filters)}}
    return {"bool": {"should": clauses}}


def _metadata_clauses(query: str) -> list[dict[str, Any]]:
    """Return clauses for books whose title and author contain the words, exactly or nearly.

    Each word may be in the title or in the author. The query type cross_fields would do the same
    in one clause, but not across fields with different analyzers: of "moby dick melville", it
    would look for all three words in the title, and for all three in the author.
    """
    words = [word for word in query.split() if _can_be_found(word)]
    if not words:
        return []
    exact = [_find_in_metadata(word) for word in words]
    similar = [
        _find_in_metadata(
            word,
            fuzziness="AUTO",  # no change in 2 letters, 1 in 3 to 5, 2 in more
            prefix_length=1,
            max_expansions=MAX_EXPANSIONS,
        )
        for word in words
    ]
    return [
        {"bool": {"must": exact, "boost": EXACT_BOOST}},
        # All of two words; of more, three quarters.
        {"bool": {"should": similar, "minimum_should_match": "2<75%"}},
    ]


def _find_in_metadata(word: str, **options: Any) -> dict[str, Any]:
    # Of a word with a hyphen, the analyzers make two terms.
    fields = {"fields": list(METADATA_FIELDS), "operator": "and"}
    return {"multi_match": {"query": word, **fields, **options}}


def _can_be_found(word: str) -> bool:
    return bool(_WORD.search(word)) and _EDGES.sub("", word).lower() not in _STOP_WORDS
