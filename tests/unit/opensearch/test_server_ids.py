"""Writes to a collection that makes the ids: nothing is lost or stays duplicated."""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from raypipe.core.book import Document
from raypipe.core.stop import StopCheck, never_stopped
from raypipe.opensearch.bulk.error_policy import SinkError
from raypipe.opensearch.bulk.results import LEFT, Ack, Rejected
from raypipe.opensearch.bulk.writer import BulkWriter
from raypipe.opensearch.index import Index, IndexConfig, serverless
from raypipe.opensearch.index.serverless import ServerlessBackend
from tests.unit.opensearch.builders import Clock, document, documents, ref_at, results_by_id
from tests.unit.opensearch.collection_stub import CollectionConnection, CollectionStub
from tests.unit.opensearch.stub import Reply, Request, Stub, failed

VISIBLE_S = 10.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(serverless, "time", SimpleNamespace(monotonic=clock, sleep=clock.sleep))
    return clock


@pytest.fixture
def collection(stub: Stub, clock: Clock) -> CollectionStub:
    return CollectionStub(stub, clock, VISIBLE_S)


def index_of(collection: CollectionStub, **settings: Any) -> Index:
    connection = CollectionConnection(collection.stub.url)
    settings = {"visible_s": VISIBLE_S + 1, **settings}
    return Index(IndexConfig(connection, index="books", **settings), ref_at(collection.stub.url))


def writer_of(
    collection: CollectionStub,
    *,
    run_seq: int = 7,
    stop_check: StopCheck = never_stopped,
    **settings: Any,
) -> BulkWriter[Document]:
    index = index_of(collection, **settings)
    return BulkWriter(
        index.bulk_target(),
        index.write_strategy(run_seq),
        stop_check=stop_check,
        sleep=collection.clock.sleep,
        jitter=float,
        clock=collection.clock,
    )


def indexed_ids(collection: CollectionStub) -> list[str]:
    return sorted(source["book_id"] for _, source in collection.cells.values())


def execute_but_answer(reply: Reply, collection: CollectionStub) -> Callable[[Request], Reply]:
    """Return a step that executes the request and sends another reply."""

    def step(request: Request) -> Reply:
        collection.execute_bulk(request)
        return reply

    return step


def test_documents_have_the_book_id_and_the_run_as_fields(collection: CollectionStub) -> None:
    results = results_by_id(
        list(writer_of(collection).write([document("b1", title="A \ud800 title")]))
    )
    assert results == {"b1": Ack("b1", "created")}
    [(_, source)] = collection.cells.values()
    assert (source["book_id"], source["run_seq"]) == ("b1", 7)
    assert len(source["write_id"]) == 32
    assert source["write_id"] != "0" * 32
    assert source["title"] == "A ? title"


@pytest.mark.parametrize(
    "answer",
    [failed(500), failed(503), failed(504), Reply(reset=True), Reply(200, b"<html>", "text/html")],
    ids=["500", "503", "504", "reset", "html"],
)
def test_documents_of_a_lost_response_are_found_and_not_sent_again(
    collection: CollectionStub, answer: Reply
) -> None:
    collection.stub.steps.append(execute_but_answer(answer, collection))
    writer = writer_of(collection)
    results = results_by_id(list(writer.write(documents(3))))
    assert results == {doc_id: Ack(doc_id, "created") for doc_id in ("b0000", "b0001", "b0002")}
    assert indexed_ids(collection) == ["b0000", "b0001", "b0002"]
    assert len(collection.stub.bulks) == 1
    assert collection.clock.now - 1000 < VISIBLE_S + 3


def test_a_request_that_was_not_executed_is_sent_again_after_visible_s(
    collection: CollectionStub,
) -> None:
    collection.stub.steps.append(Reply(reset=True))
    results = results_by_id(list(writer_of(collection).write(documents(2))))
    assert all(isinstance(result, Ack) for result in results.values())
    assert indexed_ids(collection) == ["b0000", "b0001"]
    assert collection.clock.now - 1000 >= VISIBLE_S + 1, "it may have become visible late"
    first, second = (
        [source["write_id"] for _, source in request.docs] for request in collection.stub.bulks
    )
    assert set(first).isdisjoint(second), "each request has its own id"


def test_the_rest_of_a_partly_executed_request_is_sent_again(collection: CollectionStub) -> None:
    def execute_half(request: Request) -> Reply:
        lines = request.body.splitlines(keepends=True)
        collection.execute_bulk(Request("POST", request.path, {}, {}, b"".join(lines[:4]), 0))
        return Reply(reset=True)

    collection.stub.steps.append(execute_half)
    list(writer_of(collection).write(documents(4)))
    assert indexed_ids(collection) == ["b0000", "b0001", "b0002", "b0003"]


@pytest.mark.parametrize("status", [402, 429])
def test_documents_of_a_refused_request_are_not_searched(
    collection: CollectionStub, status: int
) -> None:
    collection.stub.steps.append(failed(status))
    list(writer_of(collection).write(documents(2)))
    assert indexed_ids(collection) == ["b0000", "b0001"]
    assert not [request for request in collection.stub.requests if request.path.endswith("_search")]


def test_single_documents_with_unknown_outcome_are_searched(collection: CollectionStub) -> None:
    def answer_503_and_429(request: Request) -> Reply:
        reply = collection.execute_bulk(request)
        reply.body["items"][0]["index"] |= {"status": 503, "error": {"type": "timeout"}}
        reply.body["items"][1]["index"] |= {"status": 429, "error": {"type": "rejected"}}
        del collection.cells[reply.body["items"][1]["index"]["_id"]]
        return reply

    collection.stub.steps.append(answer_503_and_429)
    results = results_by_id(list(writer_of(collection).write(documents(3))))
    assert all(isinstance(result, Ack) for result in results.values())
    assert indexed_ids(collection) == ["b0000", "b0001", "b0002"]


def test_a_failed_search_is_repeated(collection: CollectionStub) -> None:
    collection.stub.steps.append(execute_but_answer(Reply(reset=True), collection))
    search, failures = collection.search, iter([failed(503), Reply(reset=True), failed(429)])

    def fail_searches(request: Request) -> Reply | None:
        failure = next(failures, None) if request.path.endswith("_search") else None
        return failure or search(request)

    collection.stub.guard = fail_searches
    list(writer_of(collection).write(documents(2)))
    assert indexed_ids(collection) == ["b0000", "b0001"]


def test_a_forbidden_search_aborts(collection: CollectionStub) -> None:
    collection.stub.steps.append(Reply(reset=True))
    collection.stub.guard = lambda request: (
        failed(403, "security_exception") if request.path.endswith("_search") else None
    )
    with pytest.raises(SinkError, match="may not write"):
        list(writer_of(collection).write(documents(1)))


def test_a_stop_leaves_documents_with_unknown_outcome_to_the_next_run(
    collection: CollectionStub,
) -> None:
    stops: list[str] = []

    def lose_response(request: Request) -> Reply:
        collection.execute_bulk(request)
        stops.append("stop")
        return Reply(reset=True)

    collection.stub.always = lose_response
    results = results_by_id(
        list(writer_of(collection, stop_check=lambda: "".join(stops)).write(documents(1)))
    )
    assert isinstance(results["b0000"], Rejected)
    assert results["b0000"].kind == LEFT


def test_only_the_newest_document_of_a_book_counts_and_is_kept(collection: CollectionStub) -> None:
    for run_seq, etag in ((3, "old"), (5, "new"), (4, "between")):
        books = [document("b1", etag=etag), document(f"only-{run_seq}")]
        list(writer_of(collection, run_seq=run_seq).write(books))
    collection.clock.now += VISIBLE_S
    index = index_of(collection)
    scanned = {book.book_id: book for book in index.scan(page_size=2)}
    assert sorted(scanned) == ["b1", "only-3", "only-4", "only-5"]
    assert (scanned["b1"].etag, scanned["b1"].run_seq) == ("new", 5)
    assert index.mget(["b1", "b2"], ["etag"])["b2"] is None
    assert (index.mget(["b1"], ["etag"])["b1"] or {})["etag"] == "new"
    backend = ServerlessBackend(index.config)
    assert backend.delete_older_copies(index.ref) == 2
    assert indexed_ids(collection) == ["b1", "only-3", "only-4", "only-5"]
    assert backend.delete_older_copies(index.ref) == 0


def test_the_end_of_a_run_waits_until_its_documents_are_visible(collection: CollectionStub) -> None:
    for run_seq in (1, 2):
        list(writer_of(collection, run_seq=run_seq).write(documents(3)))
    index_of(collection).finalize(["b0000", "b0001", "b0002"], 2)
    assert collection.clock.now - 1000 >= VISIBLE_S
    assert indexed_ids(collection) == ["b0000", "b0001", "b0002"]
    assert {source["run_seq"] for _, source in collection.cells.values()} == {2}


def test_documents_that_stay_invisible_are_logged(
    collection: CollectionStub, caplog: pytest.LogCaptureFixture
) -> None:
    collection.visible_s = 1e6
    list(writer_of(collection).write(documents(2)))
    with caplog.at_level(logging.WARNING):
        index_of(collection).finalize(["b0000", "b0001"], 7)
    assert "does not show 2 books yet" in caplog.text


def test_a_delete_removes_all_documents_of_a_book_but_those_of_newer_runs(
    collection: CollectionStub,
) -> None:
    for run_seq in (1, 2, 9):
        list(writer_of(collection, run_seq=run_seq).write([document("b1"), document("b2")]))
    collection.clock.now += VISIBLE_S
    index_of(collection).delete_books(["b1"], 5)
    assert indexed_ids(collection) == ["b1", "b2", "b2", "b2"]
