"""Less where a server has trouble, and slowly more again."""

from __future__ import annotations

import pytest

from raypipe.opensearch.bulk.batch_size import DISK_FULL_S, MEBIBYTE, AdaptiveBatchSize
from raypipe.opensearch.bulk.error_policy import SinkError
from raypipe.opensearch.bulk.results import LEFT, Ack
from tests.unit.opensearch.parts import Clock, by_id, document, documents, writer_at
from tests.unit.opensearch.stub import Reply, Stub, failed, items_failing

FULL = (
    "index [books] blocked by: [TOO_MANY_REQUESTS/12/disk usage exceeded flood-stage watermark, "
    "index has read-only-allow-delete block];"
)


def test_a_refused_request_is_halved_and_grows_again_after_ten_that_are_taken() -> None:
    pace = AdaptiveBatchSize(8 * MEBIBYTE)
    pace.record_refused(8 * MEBIBYTE)
    assert pace.bytes == 4 * MEBIBYTE
    pace.record_refused(1 * MEBIBYTE)
    assert pace.bytes == MEBIBYTE // 2
    for _ in range(9):
        pace.record_response()
    assert pace.bytes == MEBIBYTE // 2
    pace.record_response()
    assert pace.bytes == MEBIBYTE * 3 // 2
    for _ in range(100):
        pace.record_response()
    assert pace.bytes == 8 * MEBIBYTE


def test_a_few_refused_documents_are_no_reason_to_send_less() -> None:
    pace = AdaptiveBatchSize(8 * MEBIBYTE)
    pace.record_refused(8 * MEBIBYTE, 0.05)
    assert pace.bytes == 8 * MEBIBYTE
    pace.record_refused(8 * MEBIBYTE, 0.6)
    assert pace.bytes == 4 * MEBIBYTE


def test_what_is_too_large_stays_so() -> None:
    pace = AdaptiveBatchSize(8 * MEBIBYTE)
    pace.record_too_large(4 * MEBIBYTE)
    for _ in range(100):
        pace.record_response()
    assert pace.bytes == 2 * MEBIBYTE


def test_a_busy_server_gets_smaller_requests(stub: Stub) -> None:
    docs = [document(f"b{i:02d}", summary="x" * 20_000) for i in range(12)]
    stub.steps += [failed(429), failed(429)]
    results = by_id(list(writer_at(stub.url).write(docs)))
    assert all(isinstance(one, Ack) for one in results.values())
    sizes = [len(request.body) for request in stub.bulks]
    assert sizes[0] > 240_000
    assert sizes[1] <= sizes[0] // 2
    assert max(sizes[2:]) <= max(sizes[1] // 2, 64 * 1024)


def test_retry_after_is_heeded(stub: Stub) -> None:
    stub.steps.append(Reply(503, {"error": "busy"}, headers={"retry-after": "17"}))
    clock = Clock()
    list(writer_at(stub.url, clock=clock).write(documents(2)))
    assert clock.slept == [17.0]


@pytest.mark.parametrize("item", [False, True])
def test_a_full_disk_is_said_and_waited_for(
    stub: Stub, caplog: pytest.LogCaptureFixture, item: bool
) -> None:
    caplog.set_level("WARNING", "raypipe")
    kind = "cluster_block_exception"
    if item:
        cell = {"status": 429, "error": {"type": kind, "reason": FULL}}
        stub.steps.append(lambda request: stub.index(request, {"b0000": cell, "b0001": cell}))
    else:
        stub.steps.append(failed(429, kind, FULL))
    clock = Clock()
    results = by_id(list(writer_at(stub.url, clock=clock).write(documents(2))))
    assert all(isinstance(one, Ack) for one in results.values())
    assert clock.slept == [DISK_FULL_S]
    said = [one.message for one in caplog.records if "disks are too full" in one.message]
    assert len(said) == 1


def test_credentials_are_renewed_once(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "old")
    writer = writer_at(stub.url, username="me", password_env="SECRET")
    list(writer.write(documents(1)))

    def expired(request: object) -> Reply:
        monkeypatch.setenv("SECRET", "new")
        return failed(401)

    stub.steps.append(expired)
    results = by_id(list(writer.write(documents(2))))
    assert all(isinstance(one, Ack) for one in results.values())
    before, again = stub.bulks[-2:]
    assert before.headers["authorization"] != again.headers["authorization"]

    stub.steps += [failed(401), failed(401)]
    with pytest.raises(SinkError, match="no longer accepted"):
        list(writer.write(documents(1)))
    assert not stub.steps, "it is not asked a third time"


def test_many_small_refusals_do_not_make_many_requests(stub: Stub) -> None:
    stub.always = items_failing(stub, b0003=(429, "rejected_execution_exception"))
    stub.steps.extend([stub.always] * 3)
    stub.always = None
    writer = writer_at(stub.url, max_docs=20)
    results = by_id(list(writer.write(documents(200))))
    assert len(results) == 200
    assert len(stub.bulks) <= 12


class Lane:
    """Notes what a writer says, and that it sends nothing outside its lane."""

    def __init__(self, stub: Stub) -> None:
        self.stub = stub
        self.said: list[int] = []

    def acquire(self) -> None:
        self.said.append(len(self.stub.bulks))

    def release(self, *, overloaded: bool) -> None:
        assert len(self.stub.bulks) == self.said[-1] + 1
        self.said.append(overloaded)


def test_each_request_has_its_turn_and_refusals_are_told(stub: Stub) -> None:
    stub.steps += [
        failed(429),
        failed(503),
        items_failing(stub, b0000=(429, "x"), b0001=(429, "x"), b0002=(429, "x")),
        items_failing(stub, b0000=(429, "x")),
    ]
    lane = Lane(stub)
    results = by_id(list(writer_at(stub.url, limiter=lane).write(documents(5))))
    assert len(results) == 5
    assert lane.said == [0, True, 1, False, 2, True, 3, False, 4, False]


def test_one_document_that_fails_a_request_is_searched_for_in_turns(stub: Stub) -> None:
    stub.steps.append(failed(400))
    lane = Lane(stub)
    list(writer_at(stub.url, limiter=lane).write(documents(4)))
    assert lane.said == [0, False, 1, False, 2, False]


def test_a_stop_ends_the_wait_for_a_server_in_trouble(stub: Stub) -> None:
    stub.always = lambda request: failed(503)
    clock, asked = Clock(), iter([""] * 6)
    writer = writer_at(stub.url, clock=clock, stop_check=lambda: next(asked, "asked to stop"))
    results = by_id(list(writer.write(documents(3))))
    assert {getattr(one, "kind", "") for one in results.values()} == {LEFT}
    assert sum(clock.slept) < 20.0  # of the budget of ten minutes
    assert max(clock.slept) <= 1.0


def test_after_a_stop_what_a_server_takes_is_written(stub: Stub) -> None:
    stub.steps += [failed(503), failed(429)]
    writer = writer_at(stub.url, stop_check=lambda: "asked to stop")
    results = by_id(list(writer.write(documents(3))))
    assert all(isinstance(one, Ack) for one in results.values())
