"""Bulk deletes: missing documents are no error, newer ones stay, transient failures are retried."""

from __future__ import annotations

from collections.abc import Callable

import orjson
import pytest

from raypipe.core import retry
from raypipe.core.errors import SetupError
from tests.unit.opensearch.builders import index_at
from tests.unit.opensearch.stub import Reply, Request, Stub, error


@pytest.fixture(autouse=True)
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "full_jitter", lambda attempt, **_: 0.0)


def answering(**statuses: int) -> Callable[[Request], Reply]:
    """Return a step that answers these ids with these statuses, and all others with 200."""

    def step(request: Request) -> Reply:
        items = []
        for line in request.body.splitlines():
            doc_id = orjson.loads(line)["delete"]["_id"]
            cell = {"_id": doc_id, "status": statuses.get(doc_id, 200)}
            if cell["status"] >= 400:
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


def test_missing_and_newer_documents_are_skipped_and_the_rest_is_retried(stub: Stub) -> None:
    stub.steps += [answering(a=404, b=409, c=429, d=503), answering(d=429)]
    stub.always = answering()
    index_at(stub.url).delete_books(["a", "b", "c", "d", "e"], 9)
    assert [deleted_ids(request) for request in stub.bulks] == [
        ["a", "b", "c", "d", "e"],
        ["c", "d"],
        ["d"],
    ]


def test_a_permanent_refusal_is_one_line(stub: Stub) -> None:
    stub.always = answering(b=403)
    with pytest.raises(SetupError, match="refuses deletes: some_exception: why"):
        index_at(stub.url).delete_books(["a", "b"], 9)


def test_deletes_end_with_the_retry_budget(stub: Stub) -> None:
    stub.always = answering(a=429)
    with pytest.raises(SetupError, match="run again later"):
        index_at(stub.url, retry_budget_s=0.2).delete_books(["a"], 9)
