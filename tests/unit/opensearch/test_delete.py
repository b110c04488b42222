"""Bulk deletes: missing documents are no error, newer ones stay, transient failures are retried."""

from __future__ import annotations

from collections.abc import Callable

import orjson
import pytest

from raypipe.core import retry
from raypipe.core.errors import SetupError
from tests.unit.opensearch.builders import index_at
from tests.unit.opensearch.stub import PHYSICAL, Reply, Request, Stub, error

RESULTS = {200: "deleted", 404: "not_found"}


@pytest.fixture(autouse=True)
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "full_jitter", lambda attempt, **_: 0.0)


def answering(**statuses: int) -> Callable[[Request], Reply]:
    """Return a step that answers these ids with these statuses, and all others with 200."""

    def step(request: Request) -> Reply:
        items = []
        for line in request.body.splitlines():
            doc_id = orjson.loads(line)["delete"]["_id"]
            cell = {"_id": doc_id, "_index": PHYSICAL, "status": statuses.get(doc_id, 200)}
            if cell["status"] in RESULTS:
                cell["result"] = RESULTS[cell["status"]]
            else:
                cell["error"] = error("some_exception", "why")
            items.append({"delete": cell})
        return Reply(body={"items": items})

    return step


def deleted_ids(request: Request) -> list[str]:
    return [orjson.loads(line)["delete"]["_id"] for line in request.body.splitlines()]


def test_requests_hold_max_docs_ids_with_the_version_of_the_run(stub: Stub) -> None:
    stub.always = answering()
    index_at(stub.url, max_docs=2).delete_books(["a", "b", "c"], 9)
    assert [deleted_ids(request) for request in stub.bulks] == [["a", "b"], ["c"]]
    action = orjson.loads(stub.bulks[0].body.splitlines()[0])
    assert action == {"delete": {"_id": "a", "version": 9, "version_type": "external_gte"}}
    assert stub.bulks[0].params["require_alias"] == ["true"]


def deleted_versions(request: Request) -> dict[str, int]:
    actions = [orjson.loads(line)["delete"] for line in request.body.splitlines()]
    return {action["_id"]: action["version"] for action in actions}


def test_missing_documents_are_skipped_and_the_rest_is_retried(stub: Stub) -> None:
    stub.steps += [answering(a=404, b=409, c=429, d=503), answering(d=429)]
    stub.always = answering()
    index_at(stub.url).delete_books(["a", "b", "c", "d", "e"], 9)
    assert [deleted_ids(request) for request in stub.bulks] == [
        ["a", "b", "c", "d", "e"],
        ["c", "d"],
        ["d"],
    ]


def test_a_conflict_is_an_error_if_a_newer_document_is_still_there(stub: Stub) -> None:
    stub.docs = {"b": (12, {"run_seq": 12}), "c": (11, {"run_seq": 11})}
    stub.always = answering(b=409, c=409)
    left = rf"2 documents of {PHYSICAL} at .* are not deleted \(b, c\): run 12, which is newer"
    with pytest.raises(SetupError, match=left):
        index_at(stub.url).delete_books(["a", "b", "c"], 9)


def test_a_document_that_another_program_changed_is_deleted_in_its_version(stub: Stub) -> None:
    stub.docs = {"b": (12, {"run_seq": 9})}
    stub.steps.append(answering(b=409))
    stub.always = answering()
    index_at(stub.url).delete_books(["a", "b"], 9)
    assert [deleted_versions(request) for request in stub.bulks] == [{"a": 9, "b": 9}, {"b": 12}]


def test_a_conflict_that_cannot_be_looked_up_is_an_error(stub: Stub) -> None:
    closed = error("index_closed_exception", "closed")
    stub.paths[f"/{PHYSICAL}/_mget"] = Reply(body={"docs": [{"_id": "b", "error": closed}]})
    stub.always = answering(b=409)
    with pytest.raises(SetupError, match="refuses deletes: index_closed_exception"):
        index_at(stub.url).delete_books(["b"], 9)


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (
            {"status": 404, "error": error("index_not_found_exception", "no")},
            "deletes: index_not_f",
        ),
        (
            {"status": 400, "error": error("index_closed_exception", "")},
            "the index is closed; open",
        ),
        ({"status": 200, "result": "deleted", "_index": "other"}, "a delete went to other"),
    ],
    ids=["deleted index", "closed index", "moved alias"],
)
def test_a_delete_that_did_not_reach_the_index_is_an_error(
    stub: Stub, cell: dict[str, object], message: str
) -> None:
    stub.always = lambda _: Reply(body={"items": [{"delete": {"_id": "a", **cell}}]})
    with pytest.raises(SetupError, match=message):
        index_at(stub.url).delete_books(["a"], 9)


def test_a_permanent_refusal_is_one_line(stub: Stub) -> None:
    stub.always = answering(b=403)
    with pytest.raises(SetupError, match="refuses deletes: some_exception: why"):
        index_at(stub.url).delete_books(["a", "b"], 9)


def test_deletes_end_with_the_retry_budget(stub: Stub) -> None:
    stub.always = answering(a=429)
    with pytest.raises(SetupError, match="run again later"):
        index_at(stub.url, retry_budget_s=0.2).delete_books(["a"], 9)
