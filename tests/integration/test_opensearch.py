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
from raypipe.opensearch.bulk.writer import Ack, BulkWriter, Rejected, Result, SinkError
from raypipe.opensearch.connection.client import Connection
from raypipe.opensearch.index.index import (
    IndexConfig,
    IndexedBook,
    IndexRef,
    IndexSpec,
    count,
    ensure,
    find,
    mget,
    purge,
    refresh,
    scan_ids,
)
from raypipe.opensearch.search import search
from tests.unit.opensearch.parts import document

pytestmark = pytest.mark.integration

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
def index(opensearch_url: str) -> Iterator[IndexConfig]:
    part = IndexConfig(Connection(opensearch_url), index=f"test-{uuid.uuid4().hex[:12]}")
    yield part
    answer = part.connection.ask("GET", f"/{part.index}*", params={"expand_wildcards": "all"})
    for physical in answer:
        part.connection.ask("DELETE", f"/{physical}")


def write(
    index: IndexConfig, handle: IndexRef, documents: Any, run_seq: int = 1
) -> dict[str, Result]:
    writer = BulkWriter(index, handle, run_seq)
    return {one.book_id: one for batch in writer.write(documents) for one in batch}


def test_an_index_is_made_behind_its_alias_with_its_mark(index: IndexConfig) -> None:
    assert find(index) is None
    handle = ensure(index, CONTENTS)
    assert handle.created
    assert handle.require_alias
    assert handle.physical.startswith(f"{index.index}-2")
    assert len(handle.physical) == len(index.index) + 15
    there = index.connection.ask("GET", f"/{index.index}")[handle.physical]
    assert there["aliases"] == {index.index: {"is_write_index": True}}
    assert there["mappings"]["dynamic"] == "strict"
    mark = there["mappings"]["_meta"]["raypipe"]
    assert mark["generation"] == handle.generation
    assert (mark["state"], mark["recipe"]) == ("state-1", "recipe-1")
    again = ensure(index, CONTENTS)
    assert again == dataclasses.replace(handle, created=False)
    assert find(index) == again


def test_two_creators_at_once_get_the_same_index(index: IndexConfig) -> None:
    parts = [IndexConfig(Connection(index.endpoint or index.connection.endpoint), index.index)
             for _ in range(6)]  # fmt: skip
    with ThreadPoolExecutor(6) as pool:
        handles = list(pool.map(lambda part: ensure(part, CONTENTS), parts))
    assert len({handle.generation for handle in handles}) == 1
    assert sum(handle.created for handle in handles) == 1


def test_the_losing_creator_sees_the_winners_index(
    index: IndexConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The alias appears between the look and the creation, one second later than our own name.
    from raypipe.opensearch.index import index as module

    look, looks = module.get_index, []

    def late(part: IndexConfig) -> Any:
        looks.append(part)
        if len(looks) == 1:
            return None
        return look(part)

    winner = ensure(index, CONTENTS)
    time.sleep(1.1)
    monkeypatch.setattr(module, "look", late)
    assert ensure(index, CONTENTS) == dataclasses.replace(winner, created=False)
    assert len(index.connection.ask("GET", f"/{index.index}*")) == 1


def test_an_index_that_does_not_fit_is_refused_with_the_difference(
    index: IndexConfig,
) -> None:
    ensure(index, CONTENTS)
    wider = IndexSpec(8, {"model": "stub-2", "dimension": 8}, "state-1", "recipe-1")
    with pytest.raises(SetupError) as caught:
        ensure(index, wider)
    said = str(caught.value)
    assert "summary_vector.dimension: the index has 4, this run needs 8" in said
    assert "embedder.model: the index has stub-1, this run needs stub-2" in said
    assert "purge=true" in said
    handle = purge(index, wider)
    assert handle.dimension == 8


def test_an_index_of_another_state_is_refused_by_name_unless_adopted(
    index: IndexConfig,
) -> None:
    made = ensure(index, CONTENTS)
    other = dataclasses.replace(CONTENTS, state="state-2")
    for command in (ensure, purge):
        with pytest.raises(SetupError, match=r"belongs to the state state-1.*adopt=true"):
            command(index, other)
    adopted = ensure(index, other, adopt=True)
    assert (adopted.state, adopted.generation) == ("state-2", made.generation)
    assert ensure(index, other).state == "state-2"
    with pytest.raises(SetupError, match="belongs to the state state-2"):
        ensure(index, CONTENTS)


def test_a_purge_makes_another_generation_and_an_empty_index(index: IndexConfig) -> None:
    first = ensure(index, CONTENTS)
    write(index, first, [document("a")])
    second = purge(index, CONTENTS)
    assert second.generation != first.generation
    assert second.created
    assert count(index, second) == 0
    assert len(index.connection.ask("GET", f"/{index.index}*")) == 1


def test_a_purge_of_nothing_makes_the_index(index: IndexConfig) -> None:
    assert purge(index, CONTENTS).created


def test_an_alias_on_several_indices_is_refused(index: IndexConfig) -> None:
    ensure(index, CONTENTS)
    aliases = {index.index: {"is_write_index": False}}
    index.connection.ask("PUT", f"/{index.index}-second", body={"aliases": aliases})
    for look in (lambda: find(index), lambda: ensure(index, CONTENTS)):
        with pytest.raises(SetupError, match=r"alias of several indices \(.*-second\)"):
            look()


def test_an_alias_that_may_not_be_written_is_refused(index: IndexConfig) -> None:
    aliases = {index.index: {"is_write_index": False}}
    index.connection.ask("PUT", f"/{index.index}-one", body={"aliases": aliases})
    with pytest.raises(SetupError, match="is_write_index=false"):
        ensure(index, CONTENTS)


def test_a_concrete_index_that_fits_is_used_in_place_and_said_so(
    index: IndexConfig, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="raypipe")
    body = index.connection.ask("GET", f"/{ensure(index, CONTENTS).physical}")
    [made] = body.values()
    index.connection.ask("DELETE", f"/{find(index).physical}")  # type: ignore[union-attr]
    mappings = {**made["mappings"], "_meta": {"owner": "them"}}
    settings = {"index.knn": True, "number_of_replicas": 0}
    concrete = {"mappings": mappings, "settings": settings}
    index.connection.ask("PUT", f"/{index.index}", body=concrete)
    with pytest.raises(SetupError, match="was not made by raypipe"):
        ensure(index, CONTENTS)
    handle = ensure(index, CONTENTS, adopt=True)
    assert (handle.physical, handle.require_alias) == (index.index, False)
    assert "used in place" in caplog.text
    meta = index.connection.ask("GET", f"/{index.index}")[index.index]["mappings"]["_meta"]
    assert meta["owner"] == "them"
    assert meta["raypipe"]["generation"] == handle.generation
    assert write(index, handle, [document("a")])["a"] == Ack("a", "created")
    assert ensure(index, CONTENTS) == handle


def test_faiss_is_refused_before_the_node_hangs_on_it(index: IndexConfig) -> None:
    began = time.monotonic()
    with pytest.raises(SetupError, match=r"opensearch\.engine=faiss needs native libraries"):
        ensure(dataclasses.replace(index, engine="faiss"), CONTENTS)
    assert time.monotonic() - began < 30
    assert find(index) is None


def test_a_document_that_the_mapping_refuses_stops_nobody(index: IndexConfig) -> None:
    handle = ensure(index, CONTENTS)
    secret = document("bad", words="the butler did it")
    docs = [document("a"), secret, document("flat", summary_vector=(0.0,) * 4), document("b")]
    results = write(index, handle, docs)
    assert results["a"] == Ack("a", "created")
    assert results["b"] == Ack("b", "created")
    bad, flat = results["bad"], results["flat"]
    assert isinstance(bad, Rejected)
    assert isinstance(flat, Rejected)
    assert (bad.kind, bad.retryable, flat.kind) == ("mapper_parsing", False, "bad_vector")
    assert "[words]" in bad.message
    assert "butler" not in bad.message


def test_the_mapping_is_strict(index: IndexConfig) -> None:
    handle = ensure(index, CONTENTS)
    with pytest.raises(SetupError, match="strict_dynamic_mapping_exception"):
        index.connection.ask("PUT", f"/{handle.physical}/_doc/1", body={"no_such_field": 1})


def test_odd_but_true_values_are_taken(index: IndexConfig) -> None:
    handle = ensure(index, CONTENTS)
    docs = [
        document("old", modified=-5.5, finished_at=0.0),
        document("new", modified=4e12),
        document("long", key="é" * 9000, title="t" * 50_000, keywords=("k" * 40_000,)),
        document("empty", title="", author="", language="", summary="", keywords=(), flags=()),
        document("half", title="\ud83d"),
    ]
    results = write(index, handle, docs)
    assert {type(one) for one in results.values()} == {Ack}


def test_an_id_that_is_too_long_is_found_and_its_neighbors_are_written(
    index: IndexConfig,
) -> None:
    handle = ensure(index, CONTENTS)
    docs = [*[document(f"b{i}") for i in range(20)], document("x" * 600)]
    results = write(index, handle, docs)
    culprit = results.pop("x" * 600)
    assert isinstance(culprit, Rejected)
    assert "too long" in culprit.message
    assert {type(one) for one in results.values()} == {Ack}


def test_an_older_run_overwrites_nothing_newer(index: IndexConfig) -> None:
    handle = ensure(index, CONTENTS)
    newer = [document("a", title="new"), document("b", etag="new")]
    write(index, handle, newer, run_seq=5)
    again = write(index, handle, newer, run_seq=5)
    assert set(again.values()) == {Ack("a", "updated"), Ack("b", "updated")}
    zombie = write(index, handle, [document("a"), document("b"), document("c")], run_seq=4)
    # The same content and recipe is the same document, whoever wrote it.
    assert zombie["a"] == Ack("a", "noop")
    lost = zombie["b"]
    assert isinstance(lost, Rejected)
    assert lost.kind == "superseded"
    assert zombie["c"] == Ack("c", "created")
    fields = mget(index, handle, ["a", "b", "nobody"], ["title", "etag"])
    assert fields["a"] == {"title": "new", "etag": "etag-1"}
    assert fields["b"]["etag"] == "new"  # type: ignore[index]
    assert fields["nobody"] is None


def test_writing_to_a_deleted_index_aborts_and_makes_none(index: IndexConfig) -> None:
    handle = ensure(index, CONTENTS)
    index.connection.ask("DELETE", f"/{handle.physical}")
    with pytest.raises(SinkError, match="status 404"):
        write(index, handle, [document("a")])
    assert find(index) is None


def test_writing_after_another_run_purged_aborts(index: IndexConfig) -> None:
    old = ensure(index, CONTENTS)
    time.sleep(1.1)  # another second, another name
    purge(index, CONTENTS)
    with pytest.raises(SinkError, match=f"now, not on {old.physical}"):
        write(index, old, [document("a")])


def test_an_index_that_is_blocked_aborts(index: IndexConfig) -> None:
    handle = ensure(index, CONTENTS)
    index.connection.ask("PUT", f"/{handle.physical}/_block/write")
    with pytest.raises(SinkError, match="status 403"):
        write(index, handle, [document("a")])


def test_all_ids_are_scanned_in_pages_with_what_they_were_made_from(
    index: IndexConfig,
) -> None:
    handle = ensure(index, CONTENTS)
    docs = [document(f"b{i:05d}", etag=f"e{i}", run_seq=i) for i in range(2500)]
    assert len(write(index, handle, docs)) == 2500
    refresh(index, handle)
    assert count(index, handle) == 2500
    scanned = list(scan_ids(index, handle, page=1000))
    assert scanned == [
        IndexedBook(f"b{i:05d}", f"e{i}", "document-1", i) for i in range(2500)
    ]  # fmt: skip
    assert [one.book_id for one in scan_ids(index, handle, page=500)] == [
        one.book_id for one in scanned
    ]


def test_a_scan_left_early_closes_its_point_in_time(index: IndexConfig) -> None:
    handle = ensure(index, CONTENTS)
    write(index, handle, [document(f"b{i}") for i in range(10)])
    refresh(index, handle)
    scan = scan_ids(index, handle, page=2)
    next(scan)
    scan.close()  # type: ignore[attr-defined]
    pits = index.connection.ask("GET", "/_search/point_in_time/_all", ignore=(404,))
    assert not (pits or {}).get("pits")


@pytest.fixture
def shelf(index: IndexConfig) -> IndexConfig:
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
    handle = ensure(index, CONTENTS)
    assert {type(one) for one in write(index, handle, docs).values()} == {Ack}
    refresh(index, handle)
    return index


@pytest.mark.parametrize(
    ("query", "book_id"),
    [
        ("who keeps the lighthouse and quarrels?", "keeper"),  # plural, stem and vector
        ("wicker", "air"),  # a keyword alone
        ("roses", "flower"),  # a title
        ("a game with a pawn: chess!", "board"),
    ],
)
def test_a_description_finds_its_book(shelf: IndexConfig, query: str, book_id: str) -> None:
    hits = search(shelf, StubEmbedder(), query, limit=2)
    assert hits[0].book_id == book_id
    assert [hit.rank for hit in hits] == list(range(1, len(hits) + 1))
    assert hits[0].key == f"shelf/{book_id}.txt"
    assert hits[0].score >= hits[-1].score


def test_a_hit_of_both_kinds_has_the_score_of_two_first_ranks(shelf: IndexConfig) -> None:
    [hit] = search(shelf, StubEmbedder(), "balloon", limit=1)
    assert (hit.book_id, hit.score) == ("air", round(2 / 61, 6))


@pytest.mark.parametrize("name", ENDLESS_QUERIES)
def test_any_words_can_be_searched(shelf: IndexConfig, name: str) -> None:
    assert search(shelf, StubEmbedder(), ENDLESS_QUERIES[name], limit=4)


def test_searching_what_is_not_there_names_it(index: IndexConfig) -> None:
    with pytest.raises(SetupError, match=f"{index.index} at .* is not there"):
        search(index, StubEmbedder(), "anything")


def test_searching_an_empty_index_finds_nothing(index: IndexConfig) -> None:
    ensure(index, CONTENTS)
    assert search(index, StubEmbedder(), "anything at all") == []


def test_searching_with_another_embedder_shows_both(shelf: IndexConfig) -> None:
    with pytest.raises(SetupError) as caught:
        search(shelf, StubEmbedder("stub-9"), "anything")
    assert "stub-1" in str(caught.value)
    assert "stub-9" in str(caught.value)
