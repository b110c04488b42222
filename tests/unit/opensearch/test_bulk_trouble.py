"""Whole requests that fail, each row of the table in `bulk_policy`."""

from __future__ import annotations

import logging

import pytest

from raypipe.opensearch.bulk.error_policy import SinkError
from raypipe.opensearch.bulk.results import Ack, Rejected
from tests.unit.opensearch.parts import Clock, by_id, document, documents, writer_at
from tests.unit.opensearch.stub import Reply, Request, Stub, failed

HTML = Reply(200, b"<html>gateway</html>", "text/html")


@pytest.mark.parametrize(
    "trouble",
    [
        *(failed(status) for status in (402, 408, 429, 500, 502, 503, 504)),
        Reply(reset=True),
        HTML,
        Reply(200, b"OK", "text/plain"),
        Reply(200, b"{not json", "application/json"),
        Reply(200, b""),
        Reply(200, {"took": 1, "errors": False}),
        Reply(200, {"items": [{"index": {"_id": "b0000", "status": 201}}]}),
        Reply(200, {"items": [{"index": {"_id": "b0000"}}] * 3}),
        Reply(200, {"items": [{"index": {"_id": "other", "status": 201}}] * 3}),
        Reply(200, {"items": [None, None, None]}),
    ],
    ids=[
        "402", "408", "429", "500", "502", "503", "504", "reset", "html", "text", "broken",
        "empty", "no items", "short", "no status", "other ids", "nulls",
    ],
)  # fmt: skip
def test_what_may_pass_is_sent_again_whole_after_a_wait(stub: Stub, trouble: Reply) -> None:
    stub.steps += [trouble, trouble]
    clock = Clock()
    writer = writer_at(stub.url, clock=clock)
    results = by_id(list(writer.write(documents(3))))
    assert all(isinstance(result, Ack) for result in results.values())
    assert len(results) == 3
    assert clock.slept == [1.0, 2.0]
    assert [request.ids for request in stub.bulks] == [["b0000", "b0001", "b0002"]] * 3
    assert writer.counters.retries == 6
    assert writer.counters.first_attempt_successes == 0


def test_a_read_timeout_sends_the_same_ids_again_and_doubles_nothing(stub: Stub) -> None:
    def slow(request: Request) -> Reply:
        reply = stub.index(request)
        reply.delay_s = 1.0
        return reply

    stub.steps.append(slow)
    writer = writer_at(stub.url, timeout_s=0.2)
    results = by_id(list(writer.write(documents(2))))
    assert results["b0000"] == Ack("b0000", "updated")
    assert len(stub.docs) == 2
    assert stub.bulks[0].body == stub.bulks[1].body
    assert writer.counters.statuses["ConnectionTimeout"] == 1


def test_413_halves_down_to_the_document_that_is_too_large(stub: Stub) -> None:
    def limit(request: Request) -> Reply | None:
        return failed(413) if len(request.body) > 4000 else None

    stub.always = limit
    docs = [*documents(12), document("large", summary="x" * 5000), document("last")]
    clock = Clock()
    writer = writer_at(stub.url, clock=clock)
    results = by_id(list(writer.write(docs)))
    large = results.pop("large")
    assert isinstance(large, Rejected)
    assert (large.kind, large.retryable) == ("too_large", False)
    assert len(results) == 13
    assert all(isinstance(result, Ack) for result in results.values())
    assert clock.slept == []
    # The size is remembered: a second write begins with what fits.
    stub.requests.clear()
    list(writer.write(documents(12)))
    assert all(len(request.body) <= 4000 for request in stub.bulks)


def test_a_poisoned_400_is_bisected_to_the_culprit(stub: Stub) -> None:
    def poisoned(request: Request) -> Reply | None:
        long = [one for one in request.ids if len(one) > 512]
        return (
            failed(400, "action_request_validation_exception", "id is too long") if long else None
        )

    stub.always = poisoned
    docs = [*documents(30), document("x" * 600), *[document(f"c{i}") for i in range(30)]]
    clock = Clock()
    results = by_id(list(writer_at(stub.url, clock=clock).write(docs)))
    culprit = results.pop("x" * 600)
    assert culprit == Rejected(
        "x" * 600,
        "rejected",
        "action_request_validation_exception: id is too long",
        retryable=False,
    )
    assert len(results) == 60
    assert all(isinstance(result, Ack) for result in results.values())
    assert clock.slept == []
    assert len(stub.bulks) <= 14  # two for each of the six halvings


def test_trouble_in_one_half_of_a_bisected_request_is_sent_again(stub: Stub) -> None:
    stub.steps += [failed(400), failed(400), None, failed(503)]
    writer = writer_at(stub.url)
    results = by_id(list(writer.write(documents(4))))
    assert [request.ids for request in stub.bulks] == [
        ["b0000", "b0001", "b0002", "b0003"],
        ["b0000", "b0001"],
        ["b0000"],
        ["b0001"],
        ["b0002", "b0003"],
        ["b0001"],
    ]
    assert all(isinstance(result, Ack) for result in results.values())
    assert len(results) == 4


@pytest.mark.parametrize("status", [301, 403, 404, 405, 501])
def test_what_no_retry_helps_aborts_at_once(stub: Stub, status: int) -> None:
    stub.steps.append(failed(status, "some_exception", "no rights for [books]"))
    clock = Clock()
    with pytest.raises(SinkError, match=f"status {status}") as caught:
        list(writer_at(stub.url, clock=clock).write(documents(3)))
    assert "books at http://127.0.0.1" in str(caught.value)
    assert (clock.slept, len(stub.bulks)) == ([], 1)


def test_tls_trouble_aborts(stub: Stub) -> None:
    url = stub.url.replace("http:", "https:")
    with pytest.raises(SinkError, match="refuses writes"):
        list(writer_at(url).write(documents(1)))


def test_a_server_that_is_down_is_waited_for(stub: Stub) -> None:
    stub.close()
    clock = Clock()
    writer = writer_at(stub.url, clock=clock, retry_budget_s=5)
    results = by_id(list(writer.write(documents(3))))
    assert all(
        isinstance(result, Rejected) and result.kind == "unavailable" and result.retryable
        for result in results.values()
    )
    assert len(results) == 3
    assert clock.slept == [1.0, 2.0, 2.0]  # the last wait is what the budget leaves


def test_when_the_budget_ends_the_rest_is_rejected_without_a_request(stub: Stub) -> None:
    stub.always = lambda _request: failed(503)
    writer = writer_at(stub.url, retry_budget_s=3, max_docs=10)
    batches = list(writer.write(documents(45)))
    results = by_id(batches)
    assert len(results) == 45
    assert {type(result) for result in results.values()} == {Rejected}
    assert max(map(len, batches)) <= 20
    assert {one for request in stub.bulks for one in request.ids} == {
        one.book_id for one in documents(10)
    }
    assert writer.counters.rejected == 45
    [message] = {result.message for result in results.values()}  # type: ignore[union-attr]
    assert "accepted nothing for 3 s (503" in message


def test_one_document_that_never_passes_ends_alone(stub: Stub) -> None:
    def never(request: Request) -> Reply:
        cells = {"b0002": {"status": 429, "error": {"type": "x", "reason": ""}}}
        return stub.index(request, cells)

    stub.always = never
    writer = writer_at(stub.url, retry_budget_s=4, max_docs=5)
    results = by_id(list(writer.write(documents(60))))
    lost = results.pop("b0002")
    assert isinstance(lost, Rejected)
    assert (lost.kind, lost.retryable) == ("unavailable", True)
    assert len(results) == 59
    assert all(isinstance(result, Ack) for result in results.values())


def test_connections_cut_again_and_again_make_requests_smaller(stub: Stub) -> None:
    def proxy(request: Request) -> Reply | None:
        return Reply(reset=True) if len(request.body) > 1_500_000 else None

    stub.always = proxy
    docs = [document(f"b{i}", summary="x" * 100_000) for i in range(30)]
    results = by_id(list(writer_at(stub.url).write(docs)))
    assert len(results) == 30
    assert all(isinstance(result, Ack) for result in results.values())


def test_a_write_after_an_outage_begins_afresh(stub: Stub) -> None:
    stub.steps += [failed(503)] * 4
    writer = writer_at(stub.url, retry_budget_s=3)
    assert isinstance(by_id(list(writer.write(documents(1))))["b0000"], Rejected)
    stub.steps.clear()
    assert isinstance(by_id(list(writer.write(documents(1))))["b0000"], Ack)


def test_opensearch_pys_own_log_shows_no_traceback(
    stub: Stub, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="raypipe")
    stub.steps += [Reply(reset=True)] * 3
    list(writer_at(stub.url).write(documents(1)))
    assert "Traceback" not in caplog.text
    ours = [one.getMessage() for one in caplog.records if one.name.startswith("raypipe")]
    assert [one.split(": ", 1)[1][:24] for one in ours] == ["retrying 1 documents in "] * 3
