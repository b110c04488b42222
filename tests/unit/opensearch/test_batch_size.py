"""Requests shrink while a server is overloaded, and grow slowly afterwards."""

from __future__ import annotations

import pytest

from raypipe.opensearch.bulk.batch_size import DISK_FULL_S, MEBIBYTE, AdaptiveBatchSize
from raypipe.opensearch.bulk.error_policy import SinkError
from raypipe.opensearch.bulk.results import LEFT, Ack
from tests.unit.opensearch.builders import Clock, document, documents, results_by_id, writer_at
from tests.unit.opensearch.stub import Reply, Stub, failed, items_failing

FULL = (
    "index [books] blocked by: [TOO_MANY_REQUESTS/12/disk usage exceeded flood-stage watermark, "
    "index has read-only-allow-delete block];"
)


def test_the_size_halves_after_a_refusal_and_grows_after_ten_responses() -> None:
    size = AdaptiveBatchSize(8 * MEBIBYTE)
    size.record_refused(8 * MEBIBYTE)
    assert size.bytes == 4 * MEBIBYTE
    size.record_refused(1 * MEBIBYTE)
    assert size.bytes == MEBIBYTE // 2
    for _ in range(9):
        size.record_response()
    assert size.bytes == MEBIBYTE // 2
    size.record_response()
    assert size.bytes == MEBIBYTE * 3 // 2
    for _ in range(100):
        size.record_response()
    assert size.bytes == 8 * MEBIBYTE


def test_a_few_refused_documents_do_not_shrink_requests() -> None:
    size = AdaptiveBatchSize(8 * MEBIBYTE)
    size.record_refused(8 * MEBIBYTE, 0.05)
    assert size.bytes == 8 * MEBIBYTE
    size.record_refused(8 * MEBIBYTE, 0.6)
    assert size.bytes == 4 * MEBIBYTE


def test_a_size_that_was_too_large_is_never_tried_again() -> None:
    size = AdaptiveBatchSize(8 * MEBIBYTE)
    size.record_too_large(4 * MEBIBYTE)
    for _ in range(100):
        size.record_response()
    assert size.bytes == 2 * MEBIBYTE


def test_an_overloaded_server_gets_smaller_requests(stub: Stub) -> None:
    docs = [document(f"b{i:02d}", summary="x" * 20_000) for i in range(12)]
    stub.steps += [failed(429), failed(429)]
    results = results_by_id(list(writer_at(stub.url).write(docs)))
    assert all(isinstance(result, Ack) for result in results.values())
    sizes = [len(request.body) for request in stub.bulks]
    assert sizes[0] > 240_000
    assert sizes[1] <= sizes[0] // 2
    assert max(sizes[2:]) <= max(sizes[1] // 2, 64 * 1024)


def test_the_writer_waits_as_long_as_retry_after_asks(stub: Stub) -> None:
    stub.steps.append(Reply(503, {"error": "busy"}, headers={"retry-after": "17"}))
    clock = Clock()
    list(writer_at(stub.url, clock=clock).write(documents(2)))
    assert clock.slept == [17.0]


@pytest.mark.parametrize("item", [False, True])
def test_a_full_disk_is_logged_once_and_waited_for(
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
    results = results_by_id(list(writer_at(stub.url, clock=clock).write(documents(2))))
    assert all(isinstance(result, Ack) for result in results.values())
    assert clock.slept == [DISK_FULL_S]
    messages = [record.message for record in caplog.records]
    assert sum("disks are too full" in message for message in messages) == 1


def test_credentials_are_renewed_once(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "old")
    writer = writer_at(stub.url, username="me", password_env="SECRET")
    list(writer.write(documents(1)))

    def expired(request: object) -> Reply:
        monkeypatch.setenv("SECRET", "new")
        return failed(401)

    stub.steps.append(expired)
    results = results_by_id(list(writer.write(documents(2))))
    assert all(isinstance(result, Ack) for result in results.values())
    first, second = stub.bulks[-2:]
    assert first.headers["authorization"] != second.headers["authorization"]

    stub.steps += [failed(401), failed(401)]
    with pytest.raises(SinkError, match="no longer accepted"):
        list(writer.write(documents(1)))
    assert not stub.steps, "there is no third request"


def test_few_retries_share_requests_with_new_documents(stub: Stub) -> None:
    stub.always = items_failing(stub, b0003=(429, "rejected_execution_exception"))
    stub.steps.extend([stub.always] * 3)
    stub.always = None
    writer = writer_at(stub.url, max_docs=20)
    results = results_by_id(list(writer.write(documents(200))))
    assert len(results) == 200
    assert len(stub.bulks) <= 12


class RecordingLimiter:
    """Record the calls of a writer, and check that it sends one request between them."""

    def __init__(self, stub: Stub) -> None:
        self.stub = stub
        self.calls: list[int] = []

    def acquire(self) -> None:
        self.calls.append(len(self.stub.bulks))

    def release(self, *, overloaded: bool) -> None:
        assert len(self.stub.bulks) == self.calls[-1] + 1
        self.calls.append(overloaded)


def test_each_request_acquires_the_limiter_and_reports_overload(stub: Stub) -> None:
    stub.steps += [
        failed(429),
        failed(503),
        items_failing(stub, b0000=(429, "x"), b0001=(429, "x"), b0002=(429, "x")),
        items_failing(stub, b0000=(429, "x")),
    ]
    limiter = RecordingLimiter(stub)
    results = results_by_id(list(writer_at(stub.url, limiter=limiter).write(documents(5))))
    assert len(results) == 5
    assert limiter.calls == [0, True, 1, False, 2, True, 3, False, 4, False]


def test_a_bisected_request_acquires_the_limiter_for_each_half(stub: Stub) -> None:
    stub.steps.append(failed(400))
    limiter = RecordingLimiter(stub)
    list(writer_at(stub.url, limiter=limiter).write(documents(4)))
    assert limiter.calls == [0, False, 1, False, 2, False]


def test_a_stop_ends_the_retries(stub: Stub) -> None:
    stub.always = lambda request: failed(503)
    clock, stops = Clock(), iter([""] * 6)
    writer = writer_at(
        stub.url,
        clock=clock,
        stop_check=lambda: next(stops, "asked to stop"),
        retry_budget_s=60,
    )
    results = results_by_id(list(writer.write(documents(3))))
    assert {getattr(result, "kind", "") for result in results.values()} == {LEFT}
    assert sum(clock.slept) < 20.0  # of a budget of a minute
    assert max(clock.slept) <= 1.0


def test_documents_accepted_soon_after_a_stop_are_written(stub: Stub) -> None:
    stub.steps += [failed(503), failed(429)]
    writer = writer_at(stub.url, stop_check=lambda: "asked to stop")
    results = results_by_id(list(writer.write(documents(3))))
    assert all(isinstance(result, Ack) for result in results.values())
