"""The query by words: a description clause, and a metadata clause for short queries."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from raypipe.opensearch.search.query import (
    DESCRIPTION_FIELDS,
    MAX_CLAUSES,
    MAX_EXPANSIONS,
    MAX_METADATA_TERMS,
    METADATA_FIELDS,
    vector_body,
    words_body,
)


def clauses(query: str) -> list[dict[str, Any]]:
    """Return the clauses whose scores are added up."""
    should: list[dict[str, Any]] = words_body(query, 5)["query"]["bool"]["should"]
    return should


def words_of(clause: list[dict[str, Any]]) -> list[str]:
    return [part["multi_match"]["query"] for part in clause]


def test_the_description_clause_searches_what_describes_a_book() -> None:
    description = clauses("two friends quarrel")[0]["multi_match"]
    assert description["query"] == "two friends quarrel"
    assert description["type"] == "most_fields"
    assert description["fields"] == ["title", "author", "summary^0.25", "keywords", "about"]


def test_the_metadata_clause_takes_each_word_from_title_or_author() -> None:
    _, exact, similar = (part.get("bool", {}) for part in clauses("The Time-Machine, Wells & Co"))
    assert exact["boost"] == 2
    assert words_of(exact["must"]) == ["Time-Machine,", "Wells", "Co"]
    assert words_of(similar["should"]) == words_of(exact["must"])
    assert similar["minimum_should_match"] == "2<75%"
    for part in [*exact["must"], *similar["should"]]:
        assert part["multi_match"]["fields"] == ["title", "author"]
        assert part["multi_match"]["operator"] == "and"
    assert all("fuzziness" not in part["multi_match"] for part in exact["must"])
    fuzzy = similar["should"][0]["multi_match"]
    assert (fuzzy["fuzziness"], fuzzy["prefix_length"]) == ("AUTO", 1)


@pytest.mark.parametrize("query", ["the and of", "“The”", "?! — &", "🏰"])
def test_words_that_no_title_has_make_no_metadata_clause(query: str) -> None:
    assert len(clauses(query)) == 1


def test_a_long_query_is_a_description_alone() -> None:
    assert len(clauses("word " * MAX_METADATA_TERMS)) == 3
    assert len(clauses("word " * (MAX_METADATA_TERMS + 1))) == 1
    assert len(clauses("x" * 20_000)) == 1  # the analyzers split it
    description = clauses(" ".join(f"word{number}" for number in range(5000)))[0]["multi_match"]
    assert len(description["query"].split()) == MAX_CLAUSES // len(DESCRIPTION_FIELDS)


def test_the_clauses_of_the_longest_metadata_query_fit_into_lucene() -> None:
    each = len(DESCRIPTION_FIELDS) + len(METADATA_FIELDS) * (1 + MAX_EXPANSIONS)
    assert MAX_METADATA_TERMS * each <= MAX_CLAUSES


@pytest.mark.parametrize("limit", [5, 500])
def test_both_searches_return_enough_hits_to_fuse(limit: int) -> None:
    vector = vector_body(np.zeros(4, dtype=np.float32), limit)
    assert words_body("word", limit)["size"] == vector["size"] == max(100, limit)
    assert vector["query"]["knn"]["summary_vector"]["k"] == max(50, 5 * limit)
    assert vector["sort"] == [{"_score": "desc"}, {"book_id": "asc"}]
