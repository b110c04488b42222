"""Searches of a stub, and shortened queries; searches on a real node are integration tests."""

from __future__ import annotations

import re
from typing import Any

import pytest

from raypipe.core.errors import SetupError
from raypipe.opensearch.search import search_vector
from raypipe.opensearch.search.query_text import shorten_query
from tests.unit.opensearch.builders import index_at
from tests.unit.opensearch.stub import PHYSICAL, Reply, Stub, error


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


def test_a_word_that_the_analyzers_split_is_bounded() -> None:
    assert len(shorten_query("x" * 300_000, 250)) <= 250 * 255


def hits(*found: tuple[str, float]) -> dict[str, Any]:
    """Return the response of one search."""
    return {
        "hits": {
            "hits": [
                {"_score": score, "_source": {"book_id": book_id, "key": f"{book_id}.txt"}}
                for book_id, score in found
            ]
        }
    }


@pytest.mark.parametrize(
    ("fusion", "expected"),
    [("scores", [("a", 1.0), ("b", 0.8), ("c", 0.0)]), ("rrf", [("b", 0.032522), ("a", 0.016393)])],
)
def test_a_search_fuses_its_two_halves(
    stub: Stub, fusion: str, expected: list[tuple[str, float]]
) -> None:
    words, vectors = hits(("a", 9.0), ("b", 4.5)), hits(("b", 0.9), ("c", 0.5))
    stub.paths["/_msearch"] = Reply(body={"responses": [words, vectors]})
    found = search_vector(index_at(stub.url), [1.0], "q", 3, fusion)  # type: ignore[arg-type]
    assert [(hit.book_id, hit.score) for hit in found][: len(expected)] == expected
    assert [hit.rank for hit in found] == [1, 2, 3]
    assert found[0].key == f"{found[0].book_id}.txt"


def test_an_unknown_fusion_is_named_before_the_search(stub: Stub) -> None:
    with pytest.raises(SetupError, match="fusion=sum: choose scores or rrf"):
        search_vector(index_at(stub.url), [1.0], "q", fusion="sum")  # type: ignore[arg-type]
    assert not stub.requests


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


@pytest.mark.parametrize(
    "reply",
    [
        Reply(body={"docs": [{"_id": "b", "error": error("no_shard_available", "none")}]}),
        Reply(404, {"error": error("index_not_found_exception", "gone"), "status": 404}),
    ],
    ids=["no shard", "no index"],
)
def test_documents_that_cannot_be_read_are_an_error_of_the_setup(stub: Stub, reply: Reply) -> None:
    stub.paths[f"/{PHYSICAL}/_mget"] = reply
    with pytest.raises(SetupError, match=r"no_shard_available|index_not_found") as caught:
        index_at(stub.url).mget(["b"])
    assert "\n" not in str(caught.value)
