"""The index on a real node: its life, what it takes and refuses, and that search finds."""

from __future__ import annotations

import dataclasses
import logging
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from raypipe.core.errors import SetupError
from raypipe.models.context import CallsNoModel
from raypipe.opensearch.bulk.error_policy import SinkError
from raypipe.opensearch.bulk.results import Ack, Rejected, Result
from raypipe.opensearch.connection.client import Connection
from raypipe.opensearch.index import Index, IndexAlias, IndexConfig, IndexedBook, IndexSpec
from raypipe.opensearch.index.admin import IndexAdmin, IndexDescription
from raypipe.opensearch.search import search
from tests.integration.raypipe_command import wait_for
from tests.unit.opensearch.builders import document

DIMENSION = 4
ENDLESS_QUERIES = {
    "punctuation": "two friends quarrel: why, and who's to blame?",
    "quotes": 'a "quarrel" and (an/other\\one',
    "operators": "+quarrel -lamp && || ! ( ) { } [ ] ^ ~ * ? : field:value",
    "emoji": "🏰 quarrel 🐈‍⬛",
    "only emoji": "🏰",
    "many emoji": "🏰" * 3000,
    "5,000 words": " ".join(f"quarrel{i % 4000} lamp" for i in range(2500)),
    "ideographs": "灯台守" * 2000,
    "thai": "ราชาธิราช" * 500,
    "one long word": "x" * 20_000,
    "surrogate": "\ud800 quarrel",
    "stop words": "the and of",
}


class StubEmbedder(CallsNoModel):
    """Vectors by the first word that it knows."""

    name = "stub"
    dimension = DIMENSION
    directions = ("lighthouse", "garden", "balloon", "chess")

    def __init__(self, model: str = "stub-1") -> None:
        self.model = model

    def identity(self) -> Mapping[str, Any]:
        return {"model": self.model, "dimension": DIMENSION}

    def check(self) -> None: ...

    def embed(
        self, texts: Sequence[str], *, input_type: Literal["document", "query"] = "document"
    ) -> NDArray[np.float32]:
        vectors = np.full((len(texts), DIMENSION), 0.01, dtype=np.float32)
        for row, text in enumerate(texts):
            for column, word in enumerate(self.directions):
                vectors[row, column] += word in text
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


CONTENTS = IndexSpec(DIMENSION, StubEmbedder().identity(), "state-1", "recipe-1")


@pytest.fixture
def alias(opensearch_url: str) -> Iterator[IndexAlias]:
    alias = alias_at(opensearch_url, f"test-{uuid.uuid4().hex[:12]}")
    yield alias
    for physical in ask(alias, "GET", f"/{name_of(alias)}*", params={"expand_wildcards": "all"}):
        ask(alias, "DELETE", f"/{physical}")


def alias_at(url: str, name: str) -> IndexAlias:
    return IndexAlias(IndexConfig(Connection(url), index=name))


def name_of(alias: IndexAlias) -> str:
    return alias.config.index


def ask(alias: IndexAlias, method: str, path: str, **request: Any) -> Any:
    return alias.config.connection.ask(method, path, **request)


def found_later(index: Index) -> Index:
    """Return an index as a later call finds it, which has not created it."""
    return Index(index.config, dataclasses.replace(index.ref, created=False))


def write(index: Index, documents: Any, run_seq: int = 1) -> dict[str, Result]:
    batches = index.bulk_writer(run_seq).write(documents)
    return {result.doc_id: result for batch in batches for result in batch}


def test_an_index_is_made_behind_its_alias_with_its_mark(alias: IndexAlias) -> None:
    assert alias.find() is None
    index = alias.ensure(CONTENTS)
    assert index.ref.created
    assert index.ref.require_alias
    assert index.ref.physical.startswith(f"{name_of(alias)}-2")
    assert len(index.ref.physical) == len(name_of(alias)) + 15
    there = ask(alias, "GET", f"/{name_of(alias)}")[index.ref.physical]
    names = (name_of(alias), f"{index.ref.physical}-write")
    assert there["aliases"] == {name: {"is_write_index": True} for name in names}
    assert there["mappings"]["dynamic"] == "strict"
    mark = there["mappings"]["_meta"]["raypipe"]
    assert mark["generation"] == index.ref.generation
    assert (mark["state"], mark["recipe"]) == ("state-1", "recipe-1")
    again = alias.ensure(CONTENTS)
    assert again == found_later(index)
    assert alias.find() == again


def test_two_creators_at_once_get_the_same_index(alias: IndexAlias) -> None:
    url = alias.config.connection.endpoint
    aliases = [alias_at(url, name_of(alias)) for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        refs = [index.ref for index in pool.map(lambda alias: alias.ensure(CONTENTS), aliases)]
    assert len({ref.generation for ref in refs}) == 1
    assert sum(ref.created for ref in refs) == 1


def test_the_losing_creator_sees_the_winners_index(
    alias: IndexAlias, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The alias appears between the look and the creation, one second later than the new name.
    describe = IndexAdmin.describe
    calls: list[IndexAdmin] = []

    def describe_late(admin: IndexAdmin) -> IndexDescription | None:
        calls.append(admin)
        return None if len(calls) == 1 else describe(admin)

    winner = alias.ensure(CONTENTS)
    time.sleep(1.1)
    monkeypatch.setattr(IndexAdmin, "describe", describe_late)
    assert alias.ensure(CONTENTS) == found_later(winner)
    assert len(calls) > 1
    assert len(ask(alias, "GET", f"/{name_of(alias)}*")) == 1


def test_an_index_that_does_not_fit_is_refused_with_the_difference(
    alias: IndexAlias,
) -> None:
    alias.ensure(CONTENTS)
    wider = IndexSpec(8, {"model": "stub-2", "dimension": 8}, "state-1", "recipe-1")
    with pytest.raises(SetupError) as caught:
        alias.ensure(wider)
    said = str(caught.value)
    assert "summary_vector.dimension: the index has 4, this run needs 8" in said
    assert "embedder.model: the index has stub-1, this run needs stub-2" in said
    assert "purge=true" in said
    index = alias.purge(wider)
    assert index.ref.content.dimension == 8


def test_an_index_of_another_state_is_refused_by_name_unless_adopted(
    alias: IndexAlias,
) -> None:
    made = alias.ensure(CONTENTS)
    other = dataclasses.replace(CONTENTS, state="state-2")
    for command in (alias.ensure, alias.purge):
        with pytest.raises(SetupError, match=r"belongs to the state state-1.*adopt=true"):
            command(other)
    adopted = alias.ensure(other, adopt=True)
    assert (adopted.ref.content.state, adopted.ref.generation) == ("state-2", made.ref.generation)
    assert alias.ensure(other).ref.content.state == "state-2"
    with pytest.raises(SetupError, match="belongs to the state state-2"):
        alias.ensure(CONTENTS)


def test_a_purge_makes_another_generation_and_an_empty_index(alias: IndexAlias) -> None:
    first = alias.ensure(CONTENTS)
    write(first, [document("a")])
    second = alias.purge(CONTENTS)
    assert second.ref.generation != first.ref.generation
    assert second.ref.created
    assert second.count() == 0
    assert len(ask(alias, "GET", f"/{name_of(alias)}*")) == 1


def test_a_purge_of_nothing_makes_the_index(alias: IndexAlias) -> None:
    assert alias.purge(CONTENTS).ref.created


def test_an_alias_on_several_indices_is_refused(alias: IndexAlias) -> None:
    alias.ensure(CONTENTS)
    aliases = {name_of(alias): {"is_write_index": False}}
    ask(alias, "PUT", f"/{name_of(alias)}-second", body={"aliases": aliases})
    for look in (lambda: alias.find(), lambda: alias.ensure(CONTENTS)):
        with pytest.raises(SetupError, match=r"alias of several indices \(.*-second\)"):
            look()


def test_a_concrete_index_that_fits_is_used_in_place_and_said_so(
    alias: IndexAlias, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="raypipe")
    body = ask(alias, "GET", f"/{alias.ensure(CONTENTS).ref.physical}")
    [made] = body.values()
    ask(alias, "DELETE", f"/{alias.find().ref.physical}")  # type: ignore[union-attr]
    mappings = {**made["mappings"], "_meta": {"owner": "them"}}
    settings = {"index.knn": True, "number_of_replicas": 0}
    concrete = {"mappings": mappings, "settings": settings}
    ask(alias, "PUT", f"/{name_of(alias)}", body=concrete)
    with pytest.raises(SetupError, match="was not created by raypipe"):
        alias.ensure(CONTENTS)
    index = alias.ensure(CONTENTS, adopt=True)
    assert (index.ref.physical, index.ref.require_alias) == (name_of(alias), False)
    assert "used in place" in caplog.text
    meta = ask(alias, "GET", f"/{name_of(alias)}")[name_of(alias)]["mappings"]["_meta"]
    assert meta["owner"] == "them"
    assert meta["raypipe"]["generation"] == index.ref.generation
    assert write(index, [document("a")])["a"] == Ack("a", "created")
    assert alias.ensure(CONTENTS) == index


def test_faiss_is_refused_before_the_node_hangs_on_it(alias: IndexAlias) -> None:
    began = time.monotonic()
    with pytest.raises(SetupError, match=r"opensearch\.engine=faiss needs native libraries"):
        IndexAlias(dataclasses.replace(alias.config, engine="faiss")).ensure(CONTENTS)
    assert time.monotonic() - began < 30
    assert alias.find() is None


def test_a_document_that_the_mapping_refuses_stops_nobody(alias: IndexAlias) -> None:
    index = alias.ensure(CONTENTS)
    secret = document("bad", words="the butler did it")
    docs = [document("a"), secret, document("flat", summary_vector=(0.0,) * 4), document("b")]
    results = write(index, docs)
    assert results["a"] == Ack("a", "created")
    assert results["b"] == Ack("b", "created")
    bad, flat = results["bad"], results["flat"]
    assert isinstance(bad, Rejected)
    assert isinstance(flat, Rejected)
    assert (bad.kind, bad.retryable, flat.kind) == ("mapper_parsing", False, "bad_vector")
    assert "[words]" in bad.message
    assert "butler" not in bad.message


def test_the_mapping_is_strict(alias: IndexAlias) -> None:
    index = alias.ensure(CONTENTS)
    with pytest.raises(SetupError, match="strict_dynamic_mapping_exception"):
        ask(alias, "PUT", f"/{index.ref.physical}/_doc/1", body={"no_such_field": 1})


def test_odd_but_true_values_are_taken(alias: IndexAlias) -> None:
    index = alias.ensure(CONTENTS)
    docs = [
        document("old", modified=-5.5, finished_at=0.0),
        document("new", modified=4e12),
        document("long", key="é" * 9000, title="t" * 50_000, keywords=("k" * 40_000,)),
        document("empty", title="", author="", language="", summary="", keywords=(), flags=()),
        document("half", title="\ud83d"),
    ]
    results = write(index, docs)
    assert {type(one) for one in results.values()} == {Ack}


def test_an_id_that_is_too_long_is_found_and_its_neighbors_are_written(
    alias: IndexAlias,
) -> None:
    index = alias.ensure(CONTENTS)
    docs = [*[document(f"b{i}") for i in range(20)], document("x" * 600)]
    results = write(index, docs)
    culprit = results.pop("x" * 600)
    assert isinstance(culprit, Rejected)
    assert "too long" in culprit.message
    assert {type(one) for one in results.values()} == {Ack}


def test_an_older_run_overwrites_nothing_newer(alias: IndexAlias) -> None:
    index = alias.ensure(CONTENTS)
    newer = [document("a", title="new"), document("b", etag="new")]
    write(index, newer, run_seq=5)
    again = write(index, newer, run_seq=5)
    assert set(again.values()) == {Ack("a", "updated"), Ack("b", "updated")}
    zombie = write(index, [document("a"), document("b"), document("c")], run_seq=4)
    # The same content and recipe is the same document, whoever wrote it.
    assert zombie["a"] == Ack("a", "noop")
    lost = zombie["b"]
    assert isinstance(lost, Rejected)
    assert lost.kind == "superseded"
    assert zombie["c"] == Ack("c", "created")
    fields = index.mget(["a", "b", "nobody"], ["title", "etag"])
    assert fields["a"] == {"title": "new", "etag": "etag-1"}
    assert fields["b"]["etag"] == "new"  # type: ignore[index]
    assert fields["nobody"] is None


def test_writing_to_a_deleted_index_aborts_and_makes_none(alias: IndexAlias) -> None:
    index = alias.ensure(CONTENTS)
    ask(alias, "DELETE", f"/{index.ref.physical}")
    with pytest.raises(SinkError, match="status 404"):
        write(index, [document("a")])
    assert alias.find() is None


def test_writing_after_another_run_purged_aborts(alias: IndexAlias) -> None:
    old = alias.ensure(CONTENTS)
    time.sleep(1.1)  # another second, another name
    new = alias.purge(CONTENTS)
    with pytest.raises(SinkError, match=r"status 404.*deleted meanwhile"):
        write(old, [document("a")])
    new.refresh()
    assert new.count() == 0


def test_an_index_that_is_blocked_aborts(alias: IndexAlias) -> None:
    index = alias.ensure(CONTENTS)
    ask(alias, "PUT", f"/{index.ref.physical}/_block/write")
    with pytest.raises(SinkError, match="status 403"):
        write(index, [document("a")])


def test_all_ids_are_scanned_in_pages_with_what_they_were_made_from(
    alias: IndexAlias,
) -> None:
    index = alias.ensure(CONTENTS)
    docs = [document(f"b{i:05d}", etag=f"e{i}") for i in range(2500)]
    assert len(write(index, docs)) == 2500
    index.refresh()
    assert index.count() == 2500
    scanned = list(index.scan(page_size=1000))
    assert scanned == [
        IndexedBook(f"b{i:05d}", f"e{i}", "document-1", 1) for i in range(2500)
    ]  # fmt: skip
    assert [one.book_id for one in index.scan(page_size=500)] == [one.book_id for one in scanned]


def test_a_scan_left_early_closes_its_point_in_time(alias: IndexAlias) -> None:
    index = alias.ensure(CONTENTS)
    write(index, [document(f"b{i}") for i in range(10)])
    index.refresh()
    scan = index.scan(page_size=2)
    next(scan)
    scan.close()  # type: ignore[attr-defined]

    def open_points_in_time() -> list[Any]:
        found = ask(alias, "GET", "/_search/point_in_time/_all", ignore=(404,))
        return (found or {}).get("pits", [])

    # Other tests on the node may have a scan open at this moment; a leak stays for minutes.
    wait_for(lambda: not open_points_in_time(), 30)


@pytest.fixture
def shelf(alias: IndexAlias) -> IndexAlias:
    texts = {
        "keeper": ("The Lamp", "Two keepers of a lighthouse quarrel.", ("lighthouse", "oil")),
        "flower": ("Roses", "A widow grows roses in a garden.", ("garden", "roses")),
        "air": ("Up", "Brothers cross the sea in a balloon.", ("balloon", "wicker")),
        "board": ("Mate", "A chess master loses to a child.", ("chess", "pawn")),
    }
    embedder = StubEmbedder()
    docs = []
    for book_id, (title, summary, keywords) in texts.items():
        vector = tuple(float(one) for one in embedder.embed([summary])[0])
        docs.append(
            document(
                book_id, title=title, summary=summary, keywords=keywords, summary_vector=vector
            )
        )
    index = alias.ensure(CONTENTS)
    assert {type(one) for one in write(index, docs).values()} == {Ack}
    index.refresh()
    return alias


@pytest.mark.parametrize(
    ("query", "book_id"),
    [
        ("who keeps the lighthouse and quarrels?", "keeper"),  # plural, stem and vector
        ("wicker", "air"),  # a keyword alone
        ("roses", "flower"),  # a title
        ("a game with a pawn: chess!", "board"),
    ],
)
def test_a_description_finds_its_book(shelf: IndexAlias, query: str, book_id: str) -> None:
    hits = search(shelf, StubEmbedder(), query, limit=2)
    assert hits[0].book_id == book_id
    assert [hit.rank for hit in hits] == list(range(1, len(hits) + 1))
    assert hits[0].key == f"shelf/{book_id}.txt"
    assert hits[0].score >= hits[-1].score


@pytest.mark.parametrize(("fusion", "score"), [("scores", 1.3), ("rrf", round(2 / 61, 6))])
def test_the_best_hit_of_both_halves_has_the_highest_score(
    shelf: IndexAlias, fusion: str, score: float
) -> None:
    [hit] = search(shelf, StubEmbedder(), "balloon", limit=1, fusion=fusion)
    assert (hit.book_id, hit.score) == ("air", score)


@pytest.mark.parametrize("name", ENDLESS_QUERIES)
def test_any_words_can_be_searched(shelf: IndexAlias, name: str) -> None:
    assert search(shelf, StubEmbedder(), ENDLESS_QUERIES[name], limit=4)


def test_searching_what_is_not_there_names_it(alias: IndexAlias) -> None:
    with pytest.raises(SetupError, match=f"{name_of(alias)} at .* does not exist"):
        search(alias, StubEmbedder(), "anything")


def test_searching_an_empty_index_tells_that_it_is_empty(alias: IndexAlias) -> None:
    alias.ensure(CONTENTS)
    with pytest.raises(SetupError, match="holds no books yet"):
        search(alias, StubEmbedder(), "anything at all")


def test_searching_with_another_embedder_shows_both(shelf: IndexAlias) -> None:
    with pytest.raises(SetupError) as caught:
        search(shelf, StubEmbedder("stub-9"), "anything")
    assert "stub-1" in str(caught.value)
    assert "stub-9" in str(caught.value)
