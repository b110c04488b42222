"""Filters, their values, and a searcher that keeps the opened index; sent to a stub."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import orjson
import pytest

from raypipe.core.errors import SetupError
from raypipe.embedders.hash import HashEmbedder
from raypipe.opensearch.index import IndexAlias
from raypipe.opensearch.index.mapping import FIELDS
from raypipe.opensearch.search import BookSearcher, GoneError
from raypipe.opensearch.search.facets import FacetValue, read_facets
from raypipe.opensearch.search.filters import FACET_FIELDS, Filters
from raypipe.opensearch.search.query import titles_body, vector_body, words_body
from tests.unit.opensearch.builders import config_at, index_at
from tests.unit.opensearch.stub import PHYSICAL, Reply, Request, Stub

EMBEDDER = HashEmbedder(dimension=4)
FILTERS = Filters(language="en", author=" jane austen ", genre="")
CLAUSES: list[dict[str, Any]] = [
    {"term": {"language": "en"}},
    {"match": {"author": {"query": "jane austen", "operator": "and"}}},
]


def test_filters_are_fields_of_the_index() -> None:
    assert [item.name for item in fields(Filters)] == list(FACET_FIELDS)
    for field in FACET_FIELDS.values():
        name, _, raw = field.partition(".")
        mapping = FIELDS[name]["fields"][raw] if raw else FIELDS[name]
        assert mapping["type"] == "keyword"


def test_only_filters_that_are_set_become_clauses() -> None:
    assert FILTERS.chosen() == {"language": "en", "author": "jane austen"}
    assert FILTERS.clauses() == CLAUSES
    assert Filters(author="  ").clauses() == []


def test_each_half_of_a_search_has_the_filters() -> None:
    words = words_body("emma", 5, CLAUSES)["query"]["bool"]
    assert (words["filter"], words["minimum_should_match"]) == (CLAUSES, 1)
    knn = vector_body([1.0], 5, CLAUSES)["query"]["knn"]["summary_vector"]  # type: ignore[arg-type]
    assert knn["filter"] == {"bool": {"filter": CLAUSES}}
    assert titles_body(7, CLAUSES)["query"] == {"bool": {"filter": CLAUSES}}
    assert "filter" not in str(words_body("emma", 5)) + str(vector_body([1.0], 5))  # type: ignore[arg-type]


def buckets(*values: tuple[str, int]) -> dict[str, Any]:
    return {"buckets": [{"key": key, "doc_count": count} for key, count in values]}


def test_the_values_of_filters_are_counted(stub: Stub) -> None:
    aggregations = {name: buckets() for name in FACET_FIELDS}
    aggregations["language"] = buckets(("en", 3), ("", 2), ("fr", 1))
    stub.paths[f"/{PHYSICAL}/_search"] = Reply(body={"aggregations": aggregations})
    facets = read_facets(index_at(stub.url))
    assert facets["language"] == [FacetValue("en", 3), FacetValue("fr", 1)]
    assert facets["genre"] == []
    stub.paths[f"/{PHYSICAL}/_search"] = Reply(body={"aggregations": {"language": 5}})
    with pytest.raises(SetupError):
        read_facets(index_at(stub.url))
    stub.paths[f"/{PHYSICAL}/_search"] = Reply(404, {"error": {"type": "index_not_found"}})
    with pytest.raises(GoneError):
        read_facets(index_at(stub.url))


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def searched(stub: Stub) -> Stub:
    meta = {
        **{"generation": "g1", "schema": 1, "dimension": 4, "state": "s", "recipe": "r"},
        "embedder": dict(EMBEDDER.identity()),
    }
    body = {PHYSICAL: {"aliases": {"books": {}}, "mappings": {"_meta": {"raypipe": meta}}}}
    stub.paths["/books"] = Reply(body=body)
    hit = {"_score": 1.0, "_source": {"book_id": "b", "key": "b.txt", "title": "B"}}
    found = {"hits": {"hits": [hit]}}
    stub.paths["/_msearch"] = Reply(body={"responses": [found, found]})
    return stub


def opened(stub: Stub) -> list[Request]:
    return [request for request in stub.requests if request.path == "/books"]


def test_the_opened_index_is_used_again_for_some_seconds(searched: Stub) -> None:
    clock = Clock()
    alias = IndexAlias(config_at(searched.url))
    searcher = BookSearcher(alias, EMBEDDER, reuse_s=10.0, clock=clock)
    assert [hit.key for hit in searcher.find("x")] == ["b.txt"]
    once = len(opened(searched))
    searcher.find("x", filters=FILTERS)
    sent = [orjson.loads(line) for line in searched.requests[-1].body.splitlines()]
    assert sent[1]["query"]["bool"]["filter"] == CLAUSES
    assert len(opened(searched)) == once
    clock.now = 11.0
    searcher.find("x")
    assert len(opened(searched)) == 2 * once


def test_an_index_that_was_deleted_is_opened_again(searched: Stub) -> None:
    searcher = BookSearcher(IndexAlias(config_at(searched.url)), EMBEDDER, reuse_s=10.0)
    searcher.find("x")
    once = len(opened(searched))
    gone = {"error": {"type": "index_not_found_exception"}, "status": 404}
    searched.paths["/_msearch"] = Reply(body={"responses": [gone, gone]})
    with pytest.raises(GoneError):
        searcher.find("x")
    assert len(opened(searched)) == 2 * once


def test_without_words_the_books_of_the_filters_are_listed(searched: Stub) -> None:
    searcher = BookSearcher(IndexAlias(config_at(searched.url)), EMBEDDER, reuse_s=10.0)
    assert searcher.find(" ") == []
    one = {"hits": {"hits": [{"_source": {"book_id": "b", "key": "b.txt", "title": "B"}}]}}
    searched.paths["/_msearch"] = Reply(body={"responses": [one]})
    [hit] = searcher.find(" ", 3, FILTERS)
    assert (hit.key, hit.score, hit.rank) == ("b.txt", 0.0, 1)
    sent = [orjson.loads(line) for line in searched.requests[-1].body.splitlines()]
    assert (len(sent), sent[1]["size"], sent[1]["sort"]) == (2, 3, ["title.raw", "book_id"])
    with pytest.raises(SetupError, match="limit=0"):
        searcher.find("", 0, FILTERS)
