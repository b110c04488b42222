"""Runs on a Serverless collection: no ids, no refresh, and writes become visible later."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from raypipe.core.errors import SetupError
from tests.integration.raypipe_command import Project, run_in_process, write_book
from tests.integration.serverless_stub import SIGNER, Collection, collection

VISIBLE_S = 2


@pytest.fixture
def serverless(opensearch_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Collection]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", SIGNER.key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SIGNER.secret)
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    with collection(opensearch_url, Collection(visible_s=VISIBLE_S, behind_s=1.0)) as stub:
        yield stub


@pytest.fixture
def remote(project: Project, serverless: Collection) -> Project:
    """Return a project whose index is in the collection."""
    index = f"opensearch.index={project.index}"
    project.index_options = lambda: serverless.options(index)  # type: ignore[method-assign]
    return project


def copies(project: Project) -> dict[str, list[dict[str, Any]]]:
    """Return all documents by title, as the node has them after a refresh."""
    client = project.client()
    client.indices.refresh(index=project.index)
    hits = client.search(index=project.index, size=1000)["hits"]["hits"]
    documents: dict[str, list[dict[str, Any]]] = {}
    for hit in hits:
        assert hit["_id"] != hit["_source"]["book_id"], "the server generates the ids"
        documents.setdefault(hit["_source"]["title"], []).append(hit["_source"])
    return documents


def documents_by_title(project: Project) -> dict[str, dict[str, Any]]:
    """Return the documents by title; no document may have a copy."""
    found = copies(project)
    assert {title: len(same) for title, same in found.items()} == dict.fromkeys(found, 1)
    return {title: document for title, [document] in found.items()}


def search(project: Project, *words: str) -> list[dict[str, Any]]:
    args = ["embedder=hash", *project.index_options(), "output=json", f"query={' '.join(words)}"]
    output: dict[str, Any] = json.loads(run_in_process("search", args))
    hits: list[dict[str, Any]] = output["hits"]
    return hits


def test_books_are_added_changed_and_deleted(remote: Project, serverless: Collection) -> None:
    for number in range(4):
        write_book(remote.books, f"Book_{number}")
    remote.run()
    assert set(documents_by_title(remote)) == {f"Book {number}" for number in range(4)}
    assert remote.verify()["good"] == 4
    write_book(remote.books, "Book_1", "has another end")
    next(remote.books.glob("Book_2*")).unlink()
    record = remote.run("allow_deletes=true")
    assert (record["indexed"], record["removed"]) == (1, 1)
    found = documents_by_title(remote)
    assert set(found) == {"Book 0", "Book 1", "Book 3"}
    assert "another end" in found["Book 1"]["summary"]
    assert found["Book 1"]["run_seq"] == 2
    assert remote.verify()["good"] == 3
    assert serverless.seen["ids"] == serverless.seen["unsigned"] == 0


def test_a_book_with_two_documents_is_found_once(remote: Project, serverless: Collection) -> None:
    for number in range(3):
        write_book(remote.books, f"Book_{number}")
    remote.run()
    before = documents_by_title(remote)["Book 1"]
    older = {**before, "run_seq": before["run_seq"] - 1, "write_id": "0" * 32, "etag": "older"}
    remote.client().index(index=remote.index, body=older, refresh=True)
    hits = search(remote, "Book", "1")
    assert Counter(hit["title"] for hit in hits) == {f"Book {n}": 1 for n in range(3)}
    assert remote.verify()["good"] == 3, "the newest document counts"
    assert remote.run()["skipped"] == 3
    assert documents_by_title(remote)["Book 1"] == before, (
        "a run that writes nothing deletes copies, too"
    )


def test_a_lost_response_makes_no_copies(remote: Project, serverless: Collection) -> None:
    for number in range(15):
        write_book(remote.books, f"Book_{number:02d}")
    serverless.unknown, serverless.full = 3, 4
    remote.run("opensearch.max_docs=3")
    assert serverless.seen["unknown"] >= 3
    assert set(documents_by_title(remote)) == {f"Book {number:02d}" for number in range(15)}
    assert sorted(remote.processed_ids()) == sorted(
        document["book_id"] for document in documents_by_title(remote).values()
    )


def test_an_index_is_built_beside_the_served_one(remote: Project, serverless: Collection) -> None:
    for number in range(3):
        write_book(remote.books, f"Book_{number}")
    first = remote.run()["index"]
    record = json.loads(run_in_process("index", remote.options_without_source()))
    assert record["served"] == record["index"] != first
    assert set(documents_by_title(remote)) == {f"Book {number}" for number in range(3)}
    options = [*remote.index_options(), f"state.uri={remote.state}", "output=json"]
    assert json.loads(run_in_process("rollback", options))["index"] == first


def test_unsupported_options_give_one_error_line(remote: Project, serverless: Collection) -> None:
    write_book(remote.books, "Book_1")
    with pytest.raises(SetupError, match=r"index\.force_merge: .* merges by itself"):
        remote.run("index.force_merge=1")
    serverless.kind = "SEARCH"
    with pytest.raises(SetupError, match="needs a collection of the type VECTORSEARCH"):
        remote.run()
    assert not remote.journal.lines("reads")


def test_the_stub_is_as_delayed_and_strict_as_the_service(
    remote: Project, serverless: Collection
) -> None:
    """Check the stub itself with plain requests."""
    from botocore.credentials import Credentials
    from opensearchpy import NotFoundError, OpenSearch, Urllib3AWSV4SignerAuth

    auth = Urllib3AWSV4SignerAuth(Credentials(SIGNER.key, SIGNER.secret), "eu-west-1", "aoss")
    client = OpenSearch(serverless.url, http_auth=auth)
    for method, path in (("GET", "/"), ("POST", "/books/_refresh"), ("GET", "/_cluster/health")):
        with pytest.raises(NotFoundError):
            client.transport.perform_request(method, path)
    vector = {"type": "knn_vector", "dimension": 2, "method": {"name": "hnsw", "engine": "faiss"}}
    mappings = {"properties": {"summary_vector": vector}}
    body = {"settings": {"index": {"knn": True}}, "mappings": mappings}
    client.indices.create(index=remote.index, body=body)
    with pytest.raises(NotFoundError):
        client.indices.get(index=remote.index)
    time.sleep(serverless.behind_s)
    document = {"summary_vector": [1, 2]}
    with_id = client.bulk(body=[{"index": {"_id": "1"}}, document], index=remote.index)
    assert with_id["items"][0]["index"]["status"] == 400
    client.bulk(body=[{"index": {}}, document], index=remote.index)
    assert client.count(index=remote.index)["count"] == 0
    time.sleep(serverless.visible_s + 1)
    assert client.count(index=remote.index)["count"] == 1
