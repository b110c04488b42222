"""Bulk requests: bounds, order, versions, compression, and the outcome of each document.

Failures of whole requests are in test_bulk_failures.py.
"""

from __future__ import annotations

import logging
import pickle  # noqa: TID251 (Ray pickles exceptions and counters)
from typing import Any

import pytest

from raypipe.opensearch.bulk.error_policy import SinkError
from raypipe.opensearch.bulk.results import Ack, Counters, Rejected
from tests.unit.opensearch.builders import Clock, document, documents, results_by_id, writer_at
from tests.unit.opensearch.stub import PHYSICAL, Reply, Stub, error, failed, items_failing


def test_documents_are_acknowledged_in_order_by_their_own_results(stub: Stub) -> None:
    writer = writer_at(stub.url, max_docs=4)
    batches = list(writer.write(documents(10)))
    ids = [result.doc_id for batch in batches for result in batch]
    assert ids == [f"b{i:04d}" for i in range(10)]
    assert [len(request.ids) for request in stub.bulks] == [4, 4, 2]
    assert all(isinstance(result, Ack) and result.result == "created" for result in batches[0])
    assert stub.bulks[0].path == f"/{PHYSICAL}-write/_bulk"
    assert stub.bulks[0].params["require_alias"] == ["true"]


def test_a_document_has_the_number_of_the_run_as_external_version(stub: Stub) -> None:
    list(writer_at(stub.url, run_seq=42).write([document("a", run_seq=3)]))
    [(action, source)] = stub.bulks[0].docs
    assert action == {"_id": "a", "version": 42, "version_type": "external_gte"}
    assert source["run_seq"] == 42, "the run that writes it, not the run that made it"
    assert source["summary_vector"] == [0.5, 0.5, 0.5, 0.5]
    assert source["modified"] == 1_700_000_000_250


def test_documents_are_read_at_most_one_request_ahead(stub: Stub) -> None:
    read: list[str] = []

    def books() -> Any:
        for book in documents(100):
            read.append(book.book_id)
            yield book

    answers = writer_at(stub.url, max_docs=10).write(books())
    next(answers)
    assert len(read) <= 20, "one request ahead"


def test_requests_are_bounded_by_uncompressed_bytes_and_a_large_document_goes_alone(
    stub: Stub,
) -> None:
    small, large = documents(6), document("large", summary="x" * 9000)
    writer = writer_at(stub.url, max_bytes=5000, compress=True)
    list(writer.write([*small[:3], large, *small[3:]]))
    assert [request.ids for request in stub.bulks if "large" in request.ids] == [["large"]]
    assert all(len(request.body) <= 5000 for request in stub.bulks if request.ids != ["large"])
    assert len(stub.docs) == 7
    assert [doc_id for request in stub.bulks for doc_id in request.ids] == [
        *(book.book_id for book in small[:3]),
        "large",
        *(book.book_id for book in small[3:]),
    ]


def test_requests_are_compressed_except_on_loopback(stub: Stub) -> None:
    plain, zipped = writer_at(stub.url), writer_at(stub.url, compress=True)
    list(plain.write(documents(50)))
    list(zipped.write(documents(50)))
    first, second = stub.bulks
    assert "content-encoding" not in first.headers
    assert second.headers["content-encoding"] == "gzip"
    assert second.headers["content-type"] == "application/x-ndjson"
    assert first.body == second.body
    assert second.sent_bytes < first.sent_bytes / 5
    assert zipped.counters.bytes_sent == second.sent_bytes


def test_only_refused_documents_are_sent_again_with_the_next_request(
    stub: Stub,
) -> None:
    stub.steps.append(
        items_failing(stub, b0001=(429, "rejected_execution_exception"), b0003=(503, "x"))
    )
    clock = Clock()
    writer = writer_at(stub.url, clock=clock, max_docs=4)
    batches = list(writer.write(documents(7)))
    assert [request.ids for request in stub.bulks] == [
        ["b0000", "b0001", "b0002", "b0003"],
        ["b0001", "b0003", "b0004", "b0005"],
        ["b0006"],
    ]
    assert all(isinstance(result, Ack) for result in results_by_id(batches).values())
    assert len(results_by_id(batches)) == 7
    assert clock.slept == [1.0]
    counters = writer.counters
    assert (counters.requests, counters.documents, counters.retries) == (3, 9, 2)
    assert (counters.acknowledged, counters.first_attempt_successes) == (7, 5)
    assert counters.statuses == {"201": 7, "429": 1, "503": 1}


def test_a_rejected_document_does_not_affect_the_others(stub: Stub) -> None:
    stub.steps.append(
        items_failing(stub, b0001=(400, "mapper_parsing_exception"), b0002=(400, "odd_exception"))
    )
    results = results_by_id(list(writer_at(stub.url).write(documents(4))))
    message = "mapper_parsing_exception: mapper_parsing_exception of [words] …"
    assert results["b0001"] == Rejected("b0001", "mapper_parsing", message, retryable=False)
    assert isinstance(results["b0002"], Rejected)
    assert results["b0002"].kind == "rejected"
    assert isinstance(results["b0000"], Ack)
    assert isinstance(results["b0003"], Ack)
    assert len(stub.bulks) == 1


@pytest.mark.parametrize(
    "vector",
    [(0.0,) * 4, (1.0, 2.0, 3.0), (), (1.0, float("nan"), 0.0, 0.0), (1e30,) * 4, (1e-30,) * 4],
    ids=["zero", "short", "empty", "nan", "overflows", "vanishes"],
)
def test_a_bad_vector_is_not_sent(stub: Stub, vector: tuple[float, ...]) -> None:
    docs = [document("a"), document("bad", summary_vector=vector), document("c")]
    results = results_by_id(list(writer_at(stub.url).write(docs)))
    bad = results["bad"]
    assert isinstance(bad, Rejected)
    assert (bad.kind, bad.retryable) == ("bad_vector", False)
    assert "shelf/bad.txt" in bad.message
    assert [request.ids for request in stub.bulks] == [["a", "c"]]


def test_invalid_documents_cause_no_request_and_batches_of_results(stub: Stub) -> None:
    docs = [document(f"b{i}", summary_vector=()) for i in range(25)]
    batches = list(writer_at(stub.url, max_docs=10).write(docs))
    assert [len(batch) for batch in batches] == [10, 10, 5]
    assert stub.bulks == []


def test_no_documents_cause_no_request(stub: Stub) -> None:
    assert list(writer_at(stub.url).write([])) == []
    assert stub.requests == []


def test_lone_surrogates_become_question_marks(stub: Stub) -> None:
    docs = [document("a", title="half \ud83d emoji", keywords=("ok", "\udfff"))]
    assert isinstance(results_by_id(list(writer_at(stub.url).write(docs)))["a"], Ack)
    [(_, source)] = stub.bulks[0].docs
    assert source["title"] == "half ? emoji"
    assert source["keywords"] == ["ok", "?"]


def test_of_documents_with_equal_ids_the_last_is_indexed(stub: Stub) -> None:
    docs = [
        document("a", title="1"),
        document("b"),
        document("a", title="2"),
        document("c"),
        document("a", title="3"),
    ]
    stub.steps += [None, items_failing(stub, a=(429, "x"))]
    writer = writer_at(stub.url, max_docs=3)
    results = results_by_id(list(writer.write(docs)))
    assert stub.docs["a"][1]["title"] == "3"
    assert isinstance(results["a"], Ack)
    assert writer.counters.duplicates == 1


def test_a_retried_document_does_not_replace_a_newer_one(stub: Stub) -> None:
    stub.steps.append(items_failing(stub, a=(429, "x")))
    docs = [document("a", title="old"), document("b"), document("a", title="new"), document("c")]
    list(writer_at(stub.url, max_docs=2).write(docs))
    assert stub.docs["a"][1]["title"] == "new"
    assert [request.ids for request in stub.bulks] == [["a", "b"], ["a", "c"]]


def test_a_retried_document_does_not_replace_a_newer_one_of_a_later_request(stub: Stub) -> None:
    stub.steps.append(items_failing(stub, a=(429, "x")))
    docs = [document("a", title="old"), document("a", title="new", summary="x" * 6000)]
    list(writer_at(stub.url, max_bytes=5000).write(docs))
    assert stub.docs["a"][1]["title"] == "new"


def test_a_conflict_is_acknowledged_only_for_the_same_content_and_recipe(stub: Stub) -> None:
    list(writer_at(stub.url, run_seq=9).write(documents(3)))
    docs = [
        document("b0000"),
        document("b0001", etag="older"),
        document("b0002", document_recipe="other"),
        document("new"),
    ]
    writer = writer_at(stub.url, run_seq=8)
    results = results_by_id(list(writer.write(docs)))
    assert results["b0000"] == Ack("b0000", "noop")
    for book_id in ("b0001", "b0002"):
        rejected = results[book_id]
        assert isinstance(rejected, Rejected)
        assert (rejected.kind, rejected.retryable) == ("superseded", True)
    assert results["new"] == Ack("new", "created")
    assert stub.docs["b0001"][0] == 9
    assert writer.counters.superseded == 2


def conflict(version: int) -> dict[str, Any]:
    """Return the result of a document whose id has this version on the server."""
    reason = f"[b0000]: version conflict, current version [{version}] is higher than the one [7]"
    return {"status": 409, "error": error("version_conflict_engine_exception", reason)}


def versions_sent(stub: Stub) -> list[int]:
    return [action["version"] for request in stub.bulks for action, _ in request.docs]


def test_a_conflict_over_a_deleted_document_is_written_in_the_version_of_the_delete(
    stub: Stub,
) -> None:
    stub.steps.append(lambda request: stub.index(request, {"b0000": conflict(9)}))
    [result] = results_by_id(list(writer_at(stub.url).write(documents(1)))).values()
    assert result == Ack("b0000", "created")
    assert versions_sent(stub) == [7, 9]


def test_a_document_that_another_program_changed_is_written_over(stub: Stub) -> None:
    list(writer_at(stub.url, run_seq=6).write(documents(1)))
    stub.docs["b0000"] = (12, {**stub.docs["b0000"][1], "etag": "another"})
    stub.requests.clear()
    [result] = results_by_id(list(writer_at(stub.url).write(documents(1)))).values()
    assert result == Ack("b0000", "updated")
    assert versions_sent(stub) == [7, 12]
    assert stub.docs["b0000"][1]["etag"] == "etag-1"


def test_a_document_that_is_always_in_conflict_ends_with_the_retry_budget(stub: Stub) -> None:
    stub.always = lambda request: stub.index(request, {"b0000": conflict(9)})
    [result] = results_by_id(
        list(writer_at(stub.url, retry_budget_s=20).write(documents(1)))
    ).values()
    assert isinstance(result, Rejected)
    assert (result.kind, result.retryable) == ("unavailable", True)


def test_a_conflict_that_cannot_be_checked_is_sent_again(stub: Stub) -> None:
    list(writer_at(stub.url, run_seq=9).write(documents(1)))
    stub.paths[f"/{PHYSICAL}/_mget"] = Reply(503, {"error": "busy"})

    class RecoveringServerClock(Clock):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            stub.paths.clear()

    [result] = results_by_id(
        list(writer_at(stub.url, clock=RecoveringServerClock()).write(documents(1)))
    ).values()
    assert result == Ack("b0000", "noop")


def test_a_repeated_write_is_an_update(stub: Stub) -> None:
    list(writer_at(stub.url).write(documents(1)))
    [second] = results_by_id(list(writer_at(stub.url).write(documents(1)))).values()
    assert second == Ack("b0000", "updated")


@pytest.mark.parametrize("status", [403, 404])
def test_a_result_of_a_deleted_or_blocked_index_aborts(stub: Stub, status: int) -> None:
    stub.steps.append(items_failing(stub, b0000=(status, "cluster_block_exception")))
    with pytest.raises(SinkError, match=f"status {status}") as caught:
        list(writer_at(stub.url).write(documents(3)))
    assert stub.url in str(caught.value)
    assert caught.value.status == status


def test_a_switched_alias_aborts(stub: Stub) -> None:
    def answer_for_another_index(request: Any) -> Reply:
        reply = stub.index(request)
        reply.body["items"][0]["index"]["_index"] = "books-of-another-run"
        return reply

    stub.steps.append(answer_for_another_index)
    moved = f"its alias {PHYSICAL}-write belongs to other indices.* went to books-of-another-run"
    with pytest.raises(SinkError, match=moved):
        list(writer_at(stub.url).write(documents(1)))


DROPPED = {"_index": f"{PHYSICAL}-write", "status": 200, "result": "noop"}
REROUTED = {"_index": "elsewhere", "status": 201, "result": "created"}
LOST = {"_index": "elsewhere", "status": 404, "error": error("index_not_found_exception", "none")}


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (DROPPED, "the ingest pipeline cleaner dropped the document"),
        (REROUTED, "the ingest pipeline cleaner sent the document to the index elsewhere"),
        (LOST, "the ingest pipeline cleaner sent the document to the index elsewhere"),
        (
            {"status": 400, "error": error("mapper_parsing_exception", "no")},
            "mapper_parsing_exception: no (after the ingest pipeline cleaner)",
        ),
    ],
    ids=["dropped", "rerouted", "rerouted nowhere", "broken"],
)
def test_a_document_that_a_pipeline_takes_away_is_not_acknowledged(
    stub: Stub, cell: dict[str, Any], message: str
) -> None:
    stub.settings = {"default_pipeline": "cleaner", "final_pipeline": "_none"}
    stub.always = lambda request: stub.index(request, {"b0001": cell, "b0003": cell})
    results = results_by_id(list(writer_at(stub.url, max_docs=2).write(documents(4))))
    for book_id in ("b0001", "b0003"):
        assert results[book_id] == Rejected(book_id, "pipeline", message, retryable=True)
    assert {type(results[book_id]) for book_id in ("b0000", "b0002")} == {Ack}
    looked_up = [request for request in stub.requests if request.path == f"/{PHYSICAL}"]
    assert len(looked_up) == 1, "the settings are read once"


def test_a_document_that_a_pipeline_fails_on_is_not_sent_for_ever(stub: Stub) -> None:
    stub.settings = {"final_pipeline": "cleaner"}
    stub.always = items_failing(stub, b0001=(500, "fail_processor_exception"))
    results = results_by_id(list(writer_at(stub.url).write(documents(2))))
    rejected = results["b0001"]
    assert isinstance(rejected, Rejected)
    assert (rejected.kind, rejected.retryable) == ("pipeline", True)
    assert [request.ids for request in stub.bulks] == [["b0000", "b0001"], ["b0001"], ["b0001"]]


def test_a_result_that_does_not_say_that_it_was_written_is_sent_again(stub: Stub) -> None:
    stub.steps.append(lambda request: stub.index(request, {"b0000": {"status": 200, "result": ""}}))
    [result] = results_by_id(list(writer_at(stub.url).write(documents(1)))).values()
    assert result == Ack("b0000", "created")
    assert len(stub.bulks) == 2


@pytest.mark.parametrize(
    ("cause", "message"),
    [
        (
            error("index_closed_exception", "closed"),
            f"is closed; open it with POST /{PHYSICAL}/_op",
        ),
        (
            error("illegal_argument_exception", "no write index is defined for alias [a]. The"),
            f"its alias {PHYSICAL}-write belongs to other indices, too; remove that alias",
        ),
        (
            error("illegal_argument_exception", "pipeline with id [a] does not exist"),
            r"pipeline of the index does not exist; create it.*pipeline with id \[a\]",
        ),
    ],
    ids=["closed", "no write index", "no pipeline"],
)
def test_an_index_that_accepts_no_document_aborts_and_fails_none(
    stub: Stub, cause: dict[str, str], message: str
) -> None:
    cell = {"_index": f"{PHYSICAL}-write", "status": 400, "error": cause}
    stub.steps.append(lambda request: stub.index(request, {"b0000": cell}))
    with pytest.raises(SinkError, match=message):
        list(writer_at(stub.url).write(documents(3)))


def test_a_cluster_that_runs_no_pipelines_aborts_without_retries(stub: Stub) -> None:
    stub.steps.append(failed(500, "illegal_state_exception", "There are no ingest nodes in this"))
    with pytest.raises(SinkError, match="no node runs pipelines; give a node the role ingest"):
        list(writer_at(stub.url).write(documents(3)))
    assert len(stub.bulks) == 1


@pytest.mark.parametrize(
    ("kind", "reason", "expected"),
    [
        ("strict_dynamic_mapping_exception", "of [other] is not allowed", ("rejected", True)),
        ("illegal_argument_exception", "Limit of total fields", ("rejected", True)),
        ("illegal_argument_exception", "at least one immense term in", ("mapper_parsing", False)),
        ("mapper_parsing_exception", "failed to parse", ("mapper_parsing", False)),
    ],
)
def test_only_what_is_wrong_with_a_document_is_a_lasting_failure(
    stub: Stub, kind: str, reason: str, expected: tuple[str, bool]
) -> None:
    cell = {"status": 400, "error": error(kind, reason)}
    stub.steps.append(lambda request: stub.index(request, {"b0000": cell}))
    [result] = results_by_id(list(writer_at(stub.url).write(documents(1)))).values()
    assert isinstance(result, Rejected)
    assert (result.kind, result.retryable) == expected


def test_no_content_of_a_document_is_in_messages_logs_or_exceptions(
    stub: Stub, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    secret = document("a", summary="the butler did it")
    reason = "failed to parse field [words] of type [long]. Preview of field's value: 'the butler'"

    def step(request: Any, status: int) -> Reply:
        cell = {"status": status, "error": {"type": "mapper_parsing_exception", "reason": reason}}
        return stub.index(request, {"a": cell})

    stub.steps += [lambda request: step(request, 503), lambda request: step(request, 400)]
    [rejected] = results_by_id(list(writer_at(stub.url).write([secret]))).values()
    assert isinstance(rejected, Rejected)
    assert "[words]" in rejected.message
    stub.steps.append(lambda request: step(request, 403))
    with pytest.raises(SinkError) as caught:
        list(writer_at(stub.url).write([secret]))
    back = pickle.loads(pickle.dumps(caught.value))
    assert str(back) == str(caught.value)
    copy = str(back), repr(back), str(vars(back))
    for text in (rejected.message, caplog.text, *copy):
        assert "butler" not in text


def test_counters_add_up() -> None:
    first, second = Counters(requests=1, seconds=0.5), Counters(requests=2, took_ms=7)
    first.statuses["201"], second.statuses["201"] = 3, 4
    total = first + second
    assert (total.requests, total.seconds, total.took_ms) == (3, 0.5, 7)
    assert total.statuses == {"201": 7}
    assert pickle.loads(pickle.dumps(total)) == total
