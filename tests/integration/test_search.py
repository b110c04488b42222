"""Ranking of a real node: titles, authors, typos, and hits of one half alone."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from raypipe.core.book import Document
from raypipe.core.search_options import FUSIONS
from raypipe.opensearch.bulk.results import Ack
from raypipe.opensearch.connection.client import Connection
from raypipe.opensearch.index import Index, IndexAlias, IndexConfig, IndexSpec
from raypipe.opensearch.search import Hit, search_vector
from raypipe.opensearch.search.query import MAX_EXPANSIONS, MAX_METADATA_TERMS
from tests.unit.opensearch.builders import DIMENSION, document

pytestmark = pytest.mark.integration

TRAP = (1.0, 0.0, 0.0, 0.0)
"""Vector of the books that must not come first, and of every query: the worst vector half."""
OTHER = (0.0, 1.0, 0.0, 0.0)


@pytest.fixture
def empty_index(opensearch_url: str) -> Iterator[Index]:
    connection, name = Connection(opensearch_url), f"test-{uuid.uuid4().hex[:12]}"
    alias = IndexAlias(IndexConfig(connection, index=name))
    yield alias.ensure(IndexSpec(DIMENSION, {"model": "stub"}, "state-1", "recipe-1"))
    connection.ask("DELETE", f"/{name}-*")


@pytest.fixture
def library(empty_index: Index) -> Index:
    def book(book_id: str, title: str, author: str, *keywords: str, trap: bool = False) -> Document:
        return document(
            book_id,
            title=title,
            author=author,
            summary="It was a long winter.",
            keywords=("winter", *keywords),
            summary_vector=TRAP if trap else OTHER,
        )

    books = [
        book("emma", "Emma", "Jane Austen", "matchmaker"),
        book("pride", "Pride and Prejudice", "Jane Austen", "marriage"),
        book("eyre", "Jane Eyre", "Charlotte Bronte", "governess", trap=True),
        book("moby", "Moby Dick or The Whale", "Herman Melville", "harpoon"),
        book("typee", "Typee", "Herman Melville", "moby", "island", trap=True),
        book("life", "Herman Melville", "Lewis Mumford", "moby", "dick", "whale", trap=True),
        book("machine", "The Time Machine", "H. G. Wells", "morlocks"),
        book("walls", "Walls", "Anna Karr", "masonry", trap=True),
        book("rome", "Rome", "Emile Zola", "pope"),
        book("garden", "The Border in June", "Vita Holt", "roses"),
        book("embers", "Embers", "Sandor Marai", "duel", trap=True),
    ]
    return fill(empty_index, books)


def fill(index: Index, books: Sequence[Document]) -> Index:
    written = [result for batch in index.bulk_writer(1).write(books) for result in batch]
    assert {type(result) for result in written} == {Ack}
    index.refresh()
    return index


def find(index: Index, query: str, fusion: str = "scores") -> list[Hit]:
    return search_vector(index, np.array(TRAP, dtype=np.float32), query, 20, fusion)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("Jane Austen", {"emma", "pride"}),
        ("austen", {"emma", "pride"}),
        ("jane autsen", {"emma", "pride"}),
        ("Emma", {"emma"}),
        ("Emna", {"emma"}),  # replaced
        ("Ema", {"emma"}),  # left out
        ("Emmma", {"emma"}),  # added
        ("Emam", {"emma"}),  # swapped
        ("pride and prejuidce", {"pride"}),
        ("the time machnie", {"machine"}),
        ("moby dick melville", {"moby"}),
        ("melville moby dick", {"moby"}),
        ("mobi dick melvile", {"moby"}),
        ("Wells", {"machine"}),  # not the similar title Walls
        ("roses", {"garden"}),  # a keyword before a similar title
        ("a harpoon", {"moby"}),
    ],
)
def test_a_title_or_an_author_comes_first(library: Index, query: str, expected: set[str]) -> None:
    hits = find(library, query)
    assert {hit.book_id for hit in hits[: len(expected)]} == expected, hits


@pytest.mark.parametrize("fusion", FUSIONS)
def test_hits_of_one_half_alone_are_kept(library: Index, fusion: str) -> None:
    hits = find(library, "matchmaker", fusion)
    assert "emma" in [hit.book_id for hit in hits[:2]]
    assert len(hits) == 11
    by_vector_alone = [hit.book_id for hit in find(library, "zyzzyva", fusion)]
    assert len(by_vector_alone) == 11
    assert by_vector_alone[:5] == ["embers", "eyre", "life", "typee", "walls"]  # equal, by id


def test_the_only_hit_has_the_full_weight_of_its_half(empty_index: Index) -> None:
    index = fill(empty_index, [document("only", title="Emma", author="", summary_vector=OTHER)])
    assert [(hit.book_id, hit.score) for hit in find(index, "zyzzyva")] == [("only", 0.3)]
    assert [(hit.book_id, hit.score) for hit in find(index, "Emma")] == [("only", 1.3)]


def test_what_a_model_wrote_is_searched(empty_index: Index) -> None:
    books = [
        document("plain", summary_vector=TRAP),
        document("model", plot="A bargeman hides a clockmaker.", summary_vector=OTHER),
    ]
    assert find(fill(empty_index, books), "the clockmaker")[0].book_id == "model"


def test_words_with_many_similar_words_stay_within_the_limit_of_clauses(empty_index: Index) -> None:
    typed = [f"lantern{chr(ord('a') + number) * 4}" for number in range(MAX_METADATA_TERMS)]
    similar = [chr(ord("a") + number) for number in range(26)] + list("0123456789")
    assert len(similar) > MAX_EXPANSIONS
    books = []
    for number, letter in enumerate(similar):
        text = " ".join(word + letter for word in typed)
        books.append(document(f"b{number:02d}", title=text, author=text))
    hits = find(fill(empty_index, books), " ".join(typed))
    assert hits[0].score > 1.0
