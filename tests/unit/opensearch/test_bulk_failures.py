"""Failures of whole requests: each row of `REQUEST_ACTIONS`."""

from __future__ import annotations

import logging

import pytest

from raypipe.opensearch.bulk.error_policy import SinkError
from raypipe.opensearch.bulk.results import Ack, Rejected
from tests.unit.opensearch.builders import Clock, document, documents, results_by_id, writer_at
from tests.unit.opensearch.stub import PHYSICAL, Reply, Request, Stub, failed

WRITTEN = {"_id": "other", "_index": PHYSICAL, "status": 201, "result": "created"}
HTML = Reply(200, b"<html>gateway</html>", "text/html")


@pytest.mark.parametrize(
    "failure",
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
        Reply(200, {"items": [{"index": WRITTEN}] * 3}),
        Reply(200, {"items": [None, None, None]}),
    ],
    ids=[
        "402", "408", "429", "500", "502", "503", "504", "reset", "html", "text", "broken",
        "empty", "no items", "short", "no status", "other ids", "nulls",
    ],
)  # fmt: skip
def test_a_transient_failure_is_retried_after_a_wait(stub: Stub, failure: Reply) -> None:
    stub.steps += [failure, failure]
    clock = Clock()
    writer = writer_at(stub.url, clock=clock)
    results = results_by_id(list(writer.write(documents(3))))
    assert all(isinstance(result, Ack) for result in results.values())
    assert len(results) == 3
    assert clock.slept == [1.0, 2.0]
    assert [request.ids for request in stub.bulks] == [["b0000", "b0001", "b0002"]] * 3
    assert writer.counters.retries == 6
    assert writer.counters.first_attempt_successes == 0


def test_a_read_timeout_repeats_the_request_without_duplicates(stub: Stub) -> None:
    def answer_late(request: Request) -> Reply:
        reply = stub.index(request)
        reply.delay_s = 1.0
        return reply

    stub.steps.append(answer_late)
    writer = writer_at(stub.url, timeout_s=0.2)
    results = results_by_id(list(writer.write(documents(2))))
    assert results["b0000"] == Ack("b0000", "updated")
    assert len(stub.docs) == 2
    assert stub.bulks[0].body == stub.bulks[1].body
    assert writer.counters.statuses["ConnectionTimeout"] == 1


def test_413_halves_requests_down_to_the_document_that_is_too_large(stub: Stub) -> None:
    def refuse_large_requests(request: Request) -> Reply | None:
        return failed(413) if len(request.body) > 4000 else None

    stub.always = refuse_large_requests
    docs = [*documents(12), document("large", summary="x" * 5000), document("last")]
    clock = Clock()
    writer = writer_at(stub.url, clock=clock)
    results = results_by_id(list(writer.write(docs)))
    large = results.pop("large")
    assert isinstance(large, Rejected)
    assert (large.kind, large.retryable) == ("too_large", False)
    assert len(results) == 13
    assert all(isinstance(result, Ack) for result in results.values())
    assert clock.slept == []
    # The writer remembers the size: a second write begins with requests that are small enough.
    stub.requests.clear()
    list(writer.write(documents(12)))
    assert all(len(request.body) <= 4000 for request in stub.bulks)


def test_400_is_bisected_to_the_invalid_document(stub: Stub) -> None:
    def refuse_long_ids(request: Request) -> Reply | None:
        long = [doc_id for doc_id in request.ids if len(doc_id) > 512]
        return (
            failed(400, "action_request_validation_exception", "id is too long") if long else None
        )

    stub.always = refuse_long_ids
    docs = [*documents(30), document("x" * 600), *[document(f"c{i}") for i in range(30)]]
    clock = Clock()
    results = results_by_id(list(writer_at(stub.url, clock=clock).write(docs)))
    invalid = results.pop("x" * 600)
    assert invalid == Rejected(
        "x" * 600,
        "rejected",
        "action_request_validation_exception: id is too long",
        retryable=True,
    )
    assert len(results) == 60
    assert all(isinstance(result, Ack) for result in results.values())
    assert clock.slept == []
    assert len(stub.bulks) <= 14  # two for each of the six bisections


def test_a_failed_half_of_a_bisected_request_is_sent_again(stub: Stub) -> None:
    stub.steps += [failed(400), failed(400), None, failed(503)]
    writer = writer_at(stub.url)
    results = results_by_id(list(writer.write(documents(4))))
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
def test_a_permanent_failure_aborts_without_retries(stub: Stub, status: int) -> None:
    stub.steps.append(failed(status, "some_exception", "no rights for [books]"))
    clock = Clock()
    with pytest.raises(SinkError, match=f"status {status}") as caught:
        list(writer_at(stub.url, clock=clock).write(documents(3)))
    assert "books at http://127.0.0.1" in str(caught.value)
    assert (clock.slept, len(stub.bulks)) == ([], 1)


def test_a_tls_failure_aborts(stub: Stub) -> None:
    url = stub.url.replace("http:", "https:")
    with pytest.raises(SinkError, match="refuses writes"):
        list(writer_at(url).write(documents(1)))


def test_an_unreachable_server_is_retried_until_the_budget_ends(stub: Stub) -> None:
    stub.close()
    clock = Clock()
    writer = writer_at(stub.url, clock=clock, retry_budget_s=5)
    results = results_by_id(list(writer.write(documents(3))))
    assert all(
        isinstance(result, Rejected) and result.kind == "unavailable" and result.retryable
        for result in results.values()
    )
    assert len(results) == 3
    assert clock.slept == [1.0, 2.0, 2.0]  # the last wait ends with the budget


def test_after_the_budget_all_documents_are_rejected_without_requests(stub: Stub) -> None:
    stub.always = lambda _request: failed(503)
    writer = writer_at(stub.url, retry_budget_s=3, max_docs=10)
    batches = list(writer.write(documents(45)))
    results = results_by_id(batches)
    assert len(results) == 45
    assert {type(result) for result in results.values()} == {Rejected}
    assert max(map(len, batches)) <= 20
    assert {doc_id for request in stub.bulks for doc_id in request.ids} == {
        book.book_id for book in documents(10)
    }
    assert writer.counters.rejected == 45
    [message] = {result.message for result in results.values()}  # type: ignore[union-attr]
    assert "accepted nothing for 3 s (503" in message


def test_a_document_that_is_always_refused_is_rejected_alone(stub: Stub) -> None:
    def always_refuse_b0002(request: Request) -> Reply:
        cells = {"b0002": {"status": 429, "error": {"type": "x", "reason": ""}}}
        return stub.index(request, cells)

    stub.always = always_refuse_b0002
    writer = writer_at(stub.url, retry_budget_s=4, max_docs=5)
    results = results_by_id(list(writer.write(documents(60))))
    rejected = results.pop("b0002")
    assert isinstance(rejected, Rejected)
    assert (rejected.kind, rejected.retryable) == ("unavailable", True)
    assert len(results) == 59
    assert all(isinstance(result, Ack) for result in results.values())


def test_repeatedly_cut_connections_make_requests_smaller(stub: Stub) -> None:
    def cut_large_requests(request: Request) -> Reply | None:
        return Reply(reset=True) if len(request.body) > 1_500_000 else None

    stub.always = cut_large_requests
    docs = [document(f"b{i}", summary="x" * 100_000) for i in range(30)]
    results = results_by_id(list(writer_at(stub.url).write(docs)))
    assert len(results) == 30
    assert all(isinstance(result, Ack) for result in results.values())


def test_a_write_after_an_outage_has_a_new_budget(stub: Stub) -> None:
    stub.steps += [failed(503)] * 4
    writer = writer_at(stub.url, retry_budget_s=3)
    assert isinstance(results_by_id(list(writer.write(documents(1))))["b0000"], Rejected)
    stub.steps.clear()
    assert isinstance(results_by_id(list(writer.write(documents(1))))["b0000"], Ack)


def test_opensearch_py_logs_no_traceback(stub: Stub, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="raypipe")
    stub.steps += [Reply(reset=True)] * 3
    list(writer_at(stub.url).write(documents(1)))
    assert "Traceback" not in caplog.text
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("raypipe")]
    assert [message.split(": ", 1)[1][:24] for message in ours] == ["retrying 1 documents in "] * 3


def page(status: int) -> Reply:
    """Return a proxy's page."""
    return Reply(status, b"<html>blocked</html>", content_type="text/html")


def forbidden() -> Reply:
    """Return the response of AWS WAF."""
    return Reply(403, {"message": "Forbidden"})


@pytest.mark.parametrize("reply", [page(403), page(400), page(406), forbidden()])
def test_a_document_that_a_firewall_blocks_is_found_and_the_others_are_written(
    stub: Stub, reply: Reply
) -> None:
    stub.always = lambda request: reply if "b0017" in request.ids else None
    results = results_by_id(list(writer_at(stub.url).write(documents(40))))
    blocked = results.pop("b0017")
    assert isinstance(blocked, Rejected)
    assert (blocked.kind, blocked.retryable) == ("rejected", True)
    assert (
        f"a proxy or firewall before OpenSearch refused the document (status {reply.status})"
        in (blocked.message)
    )
    assert all(isinstance(result, Ack) for result in results.values())
    assert len(results) == 39


@pytest.mark.parametrize("status", [400, 403, 404, 418])
def test_a_firewall_that_blocks_every_document_stops_the_run(stub: Stub, status: int) -> None:
    stub.always = lambda request: page(status)
    with pytest.raises(SinkError, match=f"status {status}.*firewall.*refuses every document"):
        list(writer_at(stub.url).write(documents(6)))


def test_a_proxy_that_asks_for_a_login_stops_the_run_at_once(stub: Stub) -> None:
    stub.always = lambda request: page(407)
    with pytest.raises(SinkError, match="status 407"):
        list(writer_at(stub.url).write(documents(6)))
    assert len(stub.bulks) == 1


@pytest.mark.parametrize("status", [425, 501, 505, 520, 523, 527, 530])
def test_the_errors_of_a_proxy_are_retried(stub: Stub, status: int) -> None:
    stub.steps.append(page(status))
    results = results_by_id(list(writer_at(stub.url).write(documents(3))))
    assert all(isinstance(result, Ack) for result in results.values())
    assert len(stub.bulks) == 2
