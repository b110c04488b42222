"""Writing where the server makes the ids: nothing is lost, and nothing doubled but for a while."""

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
from tests.unit.opensearch.parts import Clock, by_id, document, documents, ref_at
from tests.unit.opensearch.shelf import Shelf, WithoutIds
from tests.unit.opensearch.stub import Reply, Request, Stub, failed

VISIBLE_S = 10.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(serverless, "time", SimpleNamespace(monotonic=clock, sleep=clock.sleep))
    return clock


@pytest.fixture
def shelf(stub: Stub, clock: Clock) -> Shelf:
    return Shelf(stub, clock, VISIBLE_S)


def index_of(shelf: Shelf, **settings: Any) -> Index:
    connection = WithoutIds(shelf.stub.url)
    settings = {"visible_s": VISIBLE_S + 1, **settings}
    return Index(IndexConfig(connection, index="books", **settings), ref_at(shelf.stub.url))


def writer_of(
    shelf: Shelf, *, run_seq: int = 7, stop_check: StopCheck = never_stopped, **settings: Any
) -> BulkWriter[Document]:
    index = index_of(shelf, **settings)
    return BulkWriter(
        index.bulk_target(),
        index.write_strategy(run_seq),
        stop_check=stop_check,
        sleep=shelf.clock.sleep,
        jitter=float,
        clock=shelf.clock,
    )


def books(shelf: Shelf) -> list[str]:
    return sorted(source["book_id"] for _, source in shelf.cells.values())


def carried_out_but(answer: Reply, shelf: Shelf) -> Callable[[Request], Reply]:
    """Return a step that does what is asked, and answers something else."""

    def step(request: Request) -> Reply:
        shelf.take(request)
        return answer

    return step


def test_documents_carry_their_ids_and_the_runs_number_as_fields(shelf: Shelf) -> None:
    results = by_id(list(writer_of(shelf).write([document("b1", title="A \ud800 title")])))
    assert results == {"b1": Ack("b1", "created")}
    [(_, source)] = shelf.cells.values()
    assert (source["book_id"], source["run_seq"]) == ("b1", 7)
    assert len(source["write_id"]) == 32
    assert source["write_id"] != "0" * 32
    assert source["title"] == "A ? title"


@pytest.mark.parametrize(
    "answer",
    [failed(500), failed(503), failed(504), Reply(reset=True), Reply(200, b"<html>", "text/html")],
    ids=["500", "503", "504", "reset", "html"],
)
def test_what_was_carried_out_unseen_is_found_and_not_sent_again(
    shelf: Shelf, answer: Reply
) -> None:
    shelf.stub.steps.append(carried_out_but(answer, shelf))
    writer = writer_of(shelf)
    results = by_id(list(writer.write(documents(3))))
    assert results == {one: Ack(one, "created") for one in ("b0000", "b0001", "b0002")}
    assert books(shelf) == ["b0000", "b0001", "b0002"]
    assert len(shelf.stub.bulks) == 1
    assert shelf.clock.now - 1000 < VISIBLE_S + 3


def test_what_was_not_carried_out_is_sent_again_after_the_wait(shelf: Shelf) -> None:
    shelf.stub.steps.append(Reply(reset=True))
    results = by_id(list(writer_of(shelf).write(documents(2))))
    assert all(isinstance(one, Ack) for one in results.values())
    assert books(shelf) == ["b0000", "b0001"]
    assert shelf.clock.now - 1000 >= VISIBLE_S + 1, "it may have come late"
    first, second = ([source["write_id"] for _, source in one.docs] for one in shelf.stub.bulks)
    assert set(first).isdisjoint(second), "each request has a name of its own"


def test_a_half_carried_out_request_is_completed(shelf: Shelf) -> None:
    def half(request: Request) -> Reply:
        lines = request.body.splitlines(keepends=True)
        shelf.take(Request("POST", request.path, {}, {}, b"".join(lines[:4]), 0))
        return Reply(reset=True)

    shelf.stub.steps.append(half)
    list(writer_of(shelf).write(documents(4)))
    assert books(shelf) == ["b0000", "b0001", "b0002", "b0003"]


@pytest.mark.parametrize("status", [402, 429])
def test_what_was_refused_for_certain_is_not_looked_for(shelf: Shelf, status: int) -> None:
    shelf.stub.steps.append(failed(status))
    list(writer_of(shelf).write(documents(2)))
    assert books(shelf) == ["b0000", "b0001"]
    assert not [one for one in shelf.stub.requests if one.path.endswith("_search")]


def test_single_documents_of_unknown_fate_are_looked_for(shelf: Shelf) -> None:
    def unsure(request: Request) -> Reply:
        reply = shelf.take(request)
        reply.body["items"][0]["index"] |= {"status": 503, "error": {"type": "timeout"}}
        reply.body["items"][1]["index"] |= {"status": 429, "error": {"type": "rejected"}}
        del shelf.cells[reply.body["items"][1]["index"]["_id"]]
        return reply

    shelf.stub.steps.append(unsure)
    results = by_id(list(writer_of(shelf).write(documents(3))))
    assert all(isinstance(one, Ack) for one in results.values())
    assert books(shelf) == ["b0000", "b0001", "b0002"]


def test_a_search_that_fails_says_nothing(shelf: Shelf) -> None:
    shelf.stub.steps.append(carried_out_but(Reply(reset=True), shelf))
    search, tries = shelf.search, iter([failed(503), Reply(reset=True), failed(429)])

    def failing(request: Request) -> Reply | None:
        trouble = next(tries, None) if request.path.endswith("_search") else None
        return trouble or search(request)

    shelf.stub.guard = failing
    list(writer_of(shelf).write(documents(2)))
    assert books(shelf) == ["b0000", "b0001"]


def test_a_search_that_may_not_be_made_ends_the_task(shelf: Shelf) -> None:
    shelf.stub.steps.append(Reply(reset=True))
    shelf.stub.guard = lambda request: (
        failed(403, "security_exception") if request.path.endswith("_search") else None
    )
    with pytest.raises(SinkError, match="may not write"):
        list(writer_of(shelf).write(documents(1)))


def test_a_stop_leaves_what_nobody_knows_of_to_the_next_run(shelf: Shelf) -> None:
    asked: list[str] = []

    def lost(request: Request) -> Reply:
        shelf.take(request)
        asked.append("stop")
        return Reply(reset=True)

    shelf.stub.always = lost
    results = by_id(list(writer_of(shelf, stop_check=lambda: "".join(asked)).write(documents(1))))
    assert isinstance(results["b0000"], Rejected)
    assert results["b0000"].kind == LEFT


def test_of_several_documents_of_a_book_the_newest_counts_and_stays(shelf: Shelf) -> None:
    for run_seq, etag in ((3, "old"), (5, "new"), (4, "between")):
        one = [document("b1", etag=etag), document(f"only-{run_seq}")]
        list(writer_of(shelf, run_seq=run_seq).write(one))
    shelf.clock.now += VISIBLE_S
    index = index_of(shelf)
    found = {one.book_id: one for one in index.scan(page_size=2)}
    assert sorted(found) == ["b1", "only-3", "only-4", "only-5"]
    assert (found["b1"].etag, found["b1"].run_seq) == ("new", 5)
    assert index.mget(["b1", "b2"], ["etag"])["b2"] is None
    assert (index.mget(["b1"], ["etag"])["b1"] or {})["etag"] == "new"
    backend = ServerlessBackend(index.config)
    assert backend.delete_older_copies(index.ref) == 2
    assert books(shelf) == ["b1", "only-3", "only-4", "only-5"]
    assert backend.delete_older_copies(index.ref) == 0


def test_a_run_waits_at_its_end_until_all_is_seen_and_sweeps(shelf: Shelf) -> None:
    for run_seq in (1, 2):
        list(writer_of(shelf, run_seq=run_seq).write(documents(3)))
    index_of(shelf).finalize(["b0000", "b0001", "b0002"], 2)
    assert shelf.clock.now - 1000 >= VISIBLE_S
    assert books(shelf) == ["b0000", "b0001", "b0002"]
    assert {source["run_seq"] for _, source in shelf.cells.values()} == {2}


def test_what_is_not_seen_in_time_is_told(shelf: Shelf, caplog: pytest.LogCaptureFixture) -> None:
    shelf.visible_s = 1e6
    list(writer_of(shelf).write(documents(2)))
    with caplog.at_level(logging.WARNING):
        index_of(shelf).finalize(["b0000", "b0001"], 7)
    assert "does not show 2 books yet" in caplog.text


def test_all_documents_of_a_book_are_deleted_but_a_newer_runs(shelf: Shelf) -> None:
    for run_seq in (1, 2, 9):
        list(writer_of(shelf, run_seq=run_seq).write([document("b1"), document("b2")]))
    shelf.clock.now += VISIBLE_S
    index_of(shelf).delete_books(["b1"], 5)
    assert books(shelf) == ["b1", "b2", "b2", "b2"]
