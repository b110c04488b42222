"""Answers that OpenSearch would not give: a clear line or a retry, and never another exception."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import orjson
import pytest
from opensearchpy.exceptions import OpenSearchException

from raypipe.core import retry
from raypipe.core.errors import SetupError
from raypipe.opensearch.bulk.results import Ack, Rejected
from raypipe.opensearch.connection import client
from raypipe.opensearch.connection.capabilities import check_server
from raypipe.opensearch.connection.client import Connection
from raypipe.opensearch.index import Index, IndexConfig, copies
from raypipe.opensearch.index.admin import IndexAdmin
from raypipe.opensearch.rows.index import RowIndex
from raypipe.opensearch.search.book_search import search_vector
from tests.unit.opensearch.builders import (
    Clock,
    config_at,
    documents,
    index_at,
    ref_at,
    results_by_id,
    writer_at,
)
from tests.unit.opensearch.stub import PHYSICAL, Reply, Request, Stub

URL = "http://127.0.0.1:9200"
DEEP: Any = orjson.loads(b"[" * 900 + b"]" * 900)
ODD: tuple[Any, ...] = (None, "x", "", 7, -1, 1e30, True, [], {}, [None], {"a": {}}, DEEP)


def mutations(value: Any) -> Iterator[Any]:
    """Yield a JSON value with each of its parts replaced by odd values, and left out."""
    yield from ODD
    parts = value.items() if isinstance(value, dict) else enumerate(value)
    if not isinstance(value, dict | list):
        return
    for name, part in parts:
        changed = copy.copy(value)
        del changed[name]
        yield changed
        for mutation in mutations(part) if isinstance(part, dict | list) else ODD:
            changed = copy.copy(value)
            changed[name] = mutation
            yield changed


BODY = {
    "aliases": {"books": {}, f"{PHYSICAL}-write": {"is_write_index": True}},
    "mappings": {
        "_meta": {"raypipe": {"generation": "g", "embedder": {}, "served": [{"number": 1}]}},
        "properties": {"summary_vector": {"type": "knn_vector", "dimension": 4}},
    },
    "settings": {"index": {"uuid": "u", "default_pipeline": "p"}},
}
INFO = {"version": {"number": "2.19.1", "distribution": "opensearch"}, "tagline": "OpenSearch"}
SHARDS = {"failed": 0}
HIT = {
    "_id": "b0",
    "_score": 0.5,
    "_source": {"book_id": "b0", "title": "t", "run_seq": 1, "summarizer": "s"},
    "fields": {"book_id": ["b0"], "etag": ["e"], "run_seq": [1]},
    "sort": ["b0", 1, "w"],
}
HITS = {"_shards": SHARDS, "hits": {"hits": [HIT]}}
CELL = {"_id": "b0", "found": True, "_version": 3, "_source": {"etag": "e", "run_seq": 1}}


class Answering(Connection):
    """Gives one answer to the requests to a path, and good answers to all others."""

    def set_answer(self, part: str, answer: Any) -> None:
        vars(self).update(part=part, answer=answer)

    def send(self, method: str, path: str, **_: Any) -> Any:
        good = {
            "point_in_time": {"pit_id": "p"},
            "/_cat/plugins": [{"component": "opensearch-knn"}],
            "_tasks": {"completed": True},
            "_forcemerge": {"task": "t:1"},
            "_mget": {"docs": [CELL]},
            "/_search": HITS,
        }
        others = {name: answer for name, answer in good.items() if name != vars(self)["part"]}
        is_asked = vars(self)["part"] in path
        default = vars(self)["answer"] if is_asked else INFO
        path = "_tasks" if "_tasks" in path else path
        return next((answer for name, answer in others.items() if path.endswith(name)), default)


def index_of(connection: Connection) -> Index:
    return Index(IndexConfig(connection, index="books"), ref_at(URL))


def admin_of(connection: Connection) -> IndexAdmin:
    return IndexAdmin(IndexConfig(connection, index="books"))


def rows_of(connection: Connection) -> RowIndex:
    return RowIndex(connection, "books")


REQUESTS: dict[str, tuple[Callable[[Connection], Any], str, Any]] = {
    "info": (check_server, "/", INFO),
    "plugins": (check_server, "/_cat/plugins", [{"component": "opensearch-knn"}]),
    "describe": (lambda c: admin_of(c).describe(), "/books", {PHYSICAL: BODY}),
    "one index": (lambda c: admin_of(c).describe_physical(PHYSICAL), "/books", {PHYSICAL: BODY}),
    "all": (lambda c: admin_of(c).list_physical(), "/books", {PHYSICAL: BODY}),
    "create": (lambda c: admin_of(c).create("x", {}), "/x", {"shards_acknowledged": True}),
    "aliases": (lambda c: admin_of(c).delete("x"), "/x/_alias", {"x": {"aliases": {}}}),
    "rows": (lambda c: rows_of(c).find(), "/books", {PHYSICAL: BODY}),
    "count": (lambda c: index_of(c).count(), "_count", {"count": 5, "_shards": SHARDS}),
    "runs": (
        lambda c: index_of(c).count_by_run(),
        "/_search",
        {"aggregations": {"runs": {"buckets": [{"key": 1, "doc_count": 2}]}}},
    ),
    "highest": (
        lambda c: index_of(c).highest_run_seq(),
        "/_search",
        {"aggregations": {"highest": {"value": 7.0}}},
    ),
    "makers": (lambda c: index_of(c).read_makers(), "/_search", HITS),
    "scan": (lambda c: list(index_of(c).scan()), "/_search", HITS),
    "full page": (lambda c: list(index_of(c).scan(page_size=1)), "/_search", HITS),
    "point in time": (lambda c: list(index_of(c).scan()), "point_in_time", {"pit_id": "p"}),
    "nearest": (lambda c: index_of(c).is_nearest("b0", [1.0], 0.1), "/_search", HITS),
    "merge": (lambda c: index_of(c).force_merge(1, 1.0), "_forcemerge", {"task": "t:1"}),
    "task": (lambda c: index_of(c).force_merge(1, 0.01), "_tasks", {"completed": True}),
    "copies": (lambda c: list(copies.iter_copies(c, "x")), "/_search", HITS),
    "newest": (lambda c: copies.read_newest(c, "x", ["b0"], ["a"]), "/_search", HITS),
    "written": (lambda c: copies.find_by_write_id(c, "x", "w"), "/_search", HITS),
    "mget": (lambda c: index_of(c).mget(["b0"]), "_mget", {"docs": [CELL]}),
    "conflicts": (
        lambda c: index_of(c).write_strategy(1).read_indexed(["b0"]),
        "_mget",
        {"docs": [CELL]},
    ),
    "pipelines": (lambda c: index_of(c).write_strategy(1).find_pipelines(), "/", {"x": BODY}),
    "search": (
        lambda c: search_vector(index_of(c), np.ones(4, np.float32), "words", 5, "rrf"),
        "_msearch",
        {"responses": [HITS, HITS]},
    ),
}


@pytest.fixture(autouse=True)
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "full_jitter", lambda attempt, **_: 0.0)
    monkeypatch.setattr("raypipe.opensearch.index.index._TASK_POLL_S", 0.01)
    monkeypatch.setattr(client, "RESTART_S", 0.0)


@pytest.mark.parametrize("name", REQUESTS)
def test_an_answer_of_another_shape_is_one_line(name: str) -> None:
    request, part, good = REQUESTS[name]
    connection = Answering(URL)
    refused = 0
    connection.set_answer(part, good)
    if name != "full page":
        request(connection)
    for answer in mutations(good):
        connection.set_answer(part, answer)
        try:
            request(connection)
        except SetupError as error:
            message = str(error)
            assert "\n" not in message, answer
            assert len(message) < 1_000, answer
            refused += 1
        except OpenSearchException:
            refused += 1  # the bulk writer, which asks this, retries
    assert refused


RESULT = {"_id": "b0001", "_index": PHYSICAL, "status": 201, "result": "created"}
CAUSE = {"type": "mapper_parsing_exception", "reason": "failed to parse field [title]"}
ITEMS = (
    *({"index": {**RESULT, "status": value}} for value in ODD),
    *({"index": {**RESULT, "_index": value}} for value in ODD if not isinstance(value, str)),
    *({"index": {**RESULT, "error": value}} for value in ODD if value is not None),
    *({"index": {**RESULT, "status": 503, "error": {**CAUSE, "type": value}}} for value in ODD),
    *({"index": {**RESULT, "status": 429, "error": {"reason": value}}} for value in ODD),
    {"index": {name: value for name, value in RESULT.items() if name != "status"}},
    *({"index": value} for value in ODD),
    *ODD,
)


def bulk_of(items: list[Any]) -> Reply:
    return Reply(200, {"took": 1, "items": items})


def test_a_malformed_result_is_about_its_document_only(stub: Stub) -> None:
    for item in ITEMS:
        try:
            body = orjson.dumps(item)
        except orjson.JSONEncodeError:  # it writes no deep values
            continue

        def answer(request: Request, body: bytes = body) -> Reply:
            items = [part["index"] for part in stub.index(request).body["items"]]
            return bulk_of([{"index": items[0]}, orjson.loads(body), {"index": items[2]}])

        stub.steps.append(answer)
        del stub.requests[:]
        results = results_by_id(list(writer_at(stub.url).write(documents(3))))
        assert all(isinstance(result, Ack) for result in results.values()), item
        assert [request.ids for request in stub.bulks] == [["b0000", "b0001", "b0002"], ["b0001"]]


@pytest.mark.parametrize("error", ["text", {}, CAUSE, {"type": 5, "reason": ["x"]}])
def test_a_refusal_with_an_odd_error_rejects_its_document_only(stub: Stub, error: Any) -> None:
    def answer(request: Request) -> Reply:
        failing = {"b0001": {"status": 400, "error": error}}
        return stub.index(request, failing)

    stub.steps.append(answer)
    results = results_by_id(list(writer_at(stub.url).write(documents(3))))
    rejected = results.pop("b0001")
    assert isinstance(rejected, Rejected)
    assert "\n" not in rejected.message
    assert all(isinstance(result, Ack) for result in results.values())


WHOLE = {
    "nothing": Reply(200, b""),
    "not JSON": Reply(200, b'{"items": [', "application/json"),
    "a page": Reply(200, b"<html>login</html>", "text/html"),
    "text": Reply(200, b"OK", "text/plain"),
    "a list": Reply(200, []),
    "a number": Reply(200, b"7"),
    "not UTF-8": Reply(200, b'{"items": ["\xff\xfe"]}'),
    "half a pair": Reply(200, b'{"items": ["\\ud800"]}'),
    "deep": Reply(200, b"[" * 100_000),
    "no items": Reply(200, {"took": 1}),
    "items that are no list": Reply(200, {"items": {"index": RESULT}}),
    "fewer results": bulk_of([{"index": RESULT}]),
    "more results": bulk_of([{"index": RESULT}] * 4),
    "an odd took": Reply(200, b'{"took": 1e999, "items": 1}'),
    "an error page": Reply(502, b"<html>bad gateway</html>", "text/html"),
    "an error that is a list": Reply(503, [1]),
    "an error that is deep": Reply(500, b'{"error": ' + b"[" * 100_000),
    "an error without a type": Reply(500, {"error": {"type": {"a": 1}, "reason": DEEP[0][0:0]}}),
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_malformed_answer_is_retried_and_then_named(stub: Stub, name: str) -> None:
    stub.steps += [WHOLE[name]] * 2
    writer = writer_at(stub.url)
    results = results_by_id(list(writer.write(documents(3))))
    assert all(isinstance(result, Ack) for result in results.values())
    assert len(stub.bulks) == 3

    stub.always = lambda _request: WHOLE[name]
    clock = Clock()
    writer = writer_at(stub.url, clock=clock, retry_budget_s=5)
    results = results_by_id(list(writer.write(documents(3))))
    for result in results.values():
        assert isinstance(result, Rejected)
        assert (result.kind, result.retryable) == ("unavailable", True)
        assert f"OpenSearch at {stub.url} accepted nothing for 5 s" in result.message
        assert "\n" not in result.message
    assert sum(clock.slept) <= 6


@pytest.mark.parametrize("took", [None, "abc", -5, 1.5, [], True, 10**17])
def test_an_odd_time_of_the_server_is_not_counted(stub: Stub, took: Any) -> None:
    def answer(request: Request) -> Reply:
        reply = stub.index(request)
        reply.body["took"] = took
        return reply

    stub.steps.append(answer)
    writer = writer_at(stub.url)
    results = results_by_id(list(writer.write(documents(1))))
    assert isinstance(results["b0000"], Ack)
    assert writer.counters.took_ms == 0


@pytest.mark.parametrize("version", [b"9" * 5_000, b"9" * 30, b"-4", b"1e30", b'"x"', b"null"])
def test_an_odd_version_is_not_sent_back(stub: Stub, version: bytes) -> None:
    stub.docs["b0000"] = (9, {})
    cell = b'{"_id": "b0000", "found": true, "_source": {}, "_version": ' + version + b"}"
    stub.paths[f"/{PHYSICAL}/_mget"] = Reply(200, b'{"docs": [' + cell + b"]}")
    writer = writer_at(stub.url, run_seq=7, retry_budget_s=5)
    results = results_by_id(list(writer.write(documents(1))))
    assert isinstance(results["b0000"], Rejected)
    assert results["b0000"].kind == "unavailable"


def test_a_version_of_5000_digits_in_a_conflict_is_ignored(stub: Stub) -> None:
    cause = {"type": "version_conflict_engine_exception"}
    cause["reason"] = f"current version [{'9' * 5_000}]"
    stub.steps.append(
        lambda request: stub.index(request, {"b0000": {"status": 409, "error": cause}})
    )
    results = results_by_id(list(writer_at(stub.url).write(documents(1))))
    assert isinstance(results["b0000"], Ack)


@pytest.mark.parametrize("reply", [Reply(200, {}), bulk_of([]), bulk_of([None]), Reply(200, [1])])
def test_malformed_answers_to_deletes_are_retried(stub: Stub, reply: Reply) -> None:
    good = {"_id": "a", "_index": PHYSICAL, "status": 200, "result": "deleted"}
    stub.steps += [reply, bulk_of([{"delete": good}])]
    index_at(stub.url).delete_books(["a"], 9)
    assert len(stub.bulks) == 2


@pytest.mark.parametrize("status", [400, 403, 500, 599])
@pytest.mark.parametrize("body", [b"[1]", b'"text"', b"[" * 100_000, b"\xff", b"7", b"null"])
def test_an_error_with_an_odd_body_is_one_line(
    stub: Stub, status: int, body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "MAX_TRIES", 1)
    stub.paths["/books"] = Reply(status, body)
    with pytest.raises(SetupError) as caught:
        IndexAdmin(config_at(stub.url)).describe()
    assert stub.url in str(caught.value)
    assert "\n" not in str(caught.value)
