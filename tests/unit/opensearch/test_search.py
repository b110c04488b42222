"""Rank fusion and shortened queries; searches on a real node are integration tests."""

from __future__ import annotations

import re
from typing import Any

import pytest

from raypipe.core.errors import SetupError
from raypipe.opensearch.query_text import shorten_query
from raypipe.opensearch.search import fuse, search_vector
from tests.unit.opensearch.builders import index_at
from tests.unit.opensearch.stub import Reply, Stub


def test_ranks_are_fused_with_60_and_ties_are_sorted_by_id() -> None:
    fused = fuse([["a", "b", "c"], ["b", "d"]])
    assert fused == [
        ("b", pytest.approx(1 / 62 + 1 / 61)),
        ("a", pytest.approx(1 / 61)),
        ("d", pytest.approx(1 / 62)),
        ("c", pytest.approx(1 / 63)),
    ]
    assert [doc_id for doc_id, _ in fuse([["z"], ["y"]])] == ["y", "z"]
    assert fuse([[], []]) == []


@pytest.mark.parametrize(
    "query",
    ["two friends quarrel: why, and who's to blame?", 'a "quoted" (a/b) \\ c*', "🏰", "", "a a a"],
)
def test_a_short_query_is_unchanged(query: str) -> None:
    assert shorten_query(query, 250) == query


def test_a_long_query_keeps_its_distinct_words_in_order() -> None:
    query = " ".join(f"Word{i % 300} word{i % 300}" for i in range(5000))
    words = shorten_query(query, 250).split()
    assert words == [f"Word{i}" for i in range(250)]


def test_text_without_spaces_is_bounded_by_its_characters() -> None:
    assert len(shorten_query("灯台守の娘" * 1000, 250)) <= 250
    assert len(re.findall("[^ ]", shorten_query("🏰" * 3000, 250))) <= 250
    assert len(shorten_query("x" * 100_000, 5)) < 100_001


def test_lone_surrogates_in_a_query_are_replaced() -> None:
    assert shorten_query("half \ud83d emoji", 250) == "half ? emoji"


@pytest.mark.parametrize("limit", [0, 1001])
def test_a_limit_out_of_range_is_named(stub: Stub, limit: int) -> None:
    with pytest.raises(SetupError, match=f"limit={limit} must be between"):
        search_vector(index_at(stub.url), [1.0], "q", limit)  # type: ignore[arg-type]


def test_an_error_in_one_of_two_searches_fails_the_search(stub: Stub) -> None:
    good: dict[str, Any] = {"hits": {"hits": []}}
    bad = {"error": {"type": "x_exception", "reason": "no [field] 'secret'"}, "status": 400}
    stub.paths["/_msearch"] = Reply(body={"responses": [good, bad]})
    with pytest.raises(SetupError, match=r"could not be searched: x_exception: no \[field\] …"):
        search_vector(index_at(stub.url), [1.0], "q")  # type: ignore[arg-type]
