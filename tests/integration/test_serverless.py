"""Runs against a Serverless collection: no ids, no refresh, and what is written is seen later."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from raypipe.core.errors import SetupError
from tests.integration.raypipe_command import (
    Project,
    project,
    run_in_process,
    shared_ray,
    write_book,
)
from tests.integration.serverless_stub import SIGNER, Collection, collection

__all__ = ["project", "shared_ray"]

pytestmark = pytest.mark.integration

VISIBLE_S = 2


@pytest.fixture
def serverless(opensearch_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Collection]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", SIGNER.key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SIGNER.secret)
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    with collection(opensearch_url, Collection(visible_s=VISIBLE_S, behind_s=1.0)) as made:
        yield made


@pytest.fixture
def there(project: Project, serverless: Collection) -> Project:
    """Return a project whose index is in the collection."""
    index = f"opensearch.index={project.index}"
    project.index_options = lambda: serverless.options(index)  # type: ignore[method-assign]
    return project


def copies(project: Project) -> dict[str, list[dict[str, Any]]]:
    """Return all documents by title, as the node behind has them when all is seen."""
    client = project.client()
    client.indices.refresh(index=project.index)
    hits = client.search(index=project.index, size=1000)["hits"]["hits"]
    found: dict[str, list[dict[str, Any]]] = {}
    for hit in hits:
        assert hit["_id"] != hit["_source"]["book_id"], "the server makes the ids"
        found.setdefault(hit["_source"]["title"], []).append(hit["_source"])
    return found


def once(project: Project) -> dict[str, dict[str, Any]]:
    """Return the documents by title; there must be one of each."""
    found = copies(project)
    assert {title: len(several) for title, several in found.items()} == dict.fromkeys(found, 1)
    return {title: one for title, [one] in found.items()}


def searched(project: Project, *words: str) -> list[dict[str, Any]]:
    args = ["embedder=hash", *project.index_options(), "output=json", f"query={' '.join(words)}"]
    found: dict[str, Any] = json.loads(run_in_process("search", args))
    hits: list[dict[str, Any]] = found["hits"]
    return hits


def test_books_are_written_changed_and_removed(
    there: Project, serverless: Collection, shared_ray: None
) -> None:
    for number in range(4):
        write_book(there.books, f"Book_{number}")
    there.run()
    assert set(once(there)) == {f"Book {number}" for number in range(4)}
    assert there.verify()["good"] == 4
    write_book(there.books, "Book_1", "has another end")
    next(there.books.glob("Book_2*")).unlink()
    record = there.run("allow_deletes=true")
    assert (record["indexed"], record["removed"]) == (1, 1)
    found = once(there)
    assert set(found) == {"Book 0", "Book 1", "Book 3"}
    assert "another end" in found["Book 1"]["summary"]
    assert found["Book 1"]["run_seq"] == 2
    assert there.verify()["good"] == 3
    assert serverless.seen["ids"] == serverless.seen["unsigned"] == 0


def test_a_book_that_stands_there_twice_is_found_once(
    there: Project, serverless: Collection, shared_ray: None
) -> None:
    for number in range(3):
        write_book(there.books, f"Book_{number}")
    there.run()
    before = once(there)["Book 1"]
    doubled = {**before, "run_seq": before["run_seq"] - 1, "write_id": "0" * 32, "etag": "older"}
    there.client().index(index=there.index, body=doubled, refresh=True)
    hits = searched(there, "Book", "1")
    assert Counter(hit["title"] for hit in hits) == {f"Book {n}": 1 for n in range(3)}
    assert there.verify()["good"] == 3, "the newest of the two counts"
    assert there.run()["skipped"] == 3
    assert once(there)["Book 1"] == before, "a run that writes nothing sweeps all the same"


def test_what_an_answer_was_lost_for_is_looked_up_and_not_doubled(
    there: Project, serverless: Collection, shared_ray: None
) -> None:
    for number in range(30):
        write_book(there.books, f"Book_{number:02d}")
    serverless.unknown, serverless.full = 3, 4
    there.run("opensearch.max_docs=3")
    assert serverless.seen["unknown"] >= 3
    assert set(once(there)) == {f"Book {number:02d}" for number in range(30)}
    assert sorted(there.processed_ids()) == sorted(one["book_id"] for one in once(there).values())


def test_an_index_is_built_beside_the_served_one(
    there: Project, serverless: Collection, shared_ray: None
) -> None:
    for number in range(3):
        write_book(there.books, f"Book_{number}")
    first = there.run()["index"]
    record = json.loads(run_in_process("index", there.options_without_source()))
    assert record["served"] == record["index"] != first
    assert set(once(there)) == {f"Book {number}" for number in range(3)}
    back = [*there.index_options(), f"state.uri={there.state}", "output=json"]
    assert json.loads(run_in_process("rollback", back))["index"] == first


def test_what_cannot_be_had_there_is_refused_in_one_line(
    there: Project, serverless: Collection
) -> None:
    write_book(there.books, "Book_1")
    with pytest.raises(SetupError, match=r"index\.force_merge: .* merges by itself"):
        there.run("index.force_merge=1")
    serverless.kind = "SEARCH"
    with pytest.raises(SetupError, match="needs a collection of the type VECTORSEARCH"):
        there.run()
    assert not there.journal.lines("reads")


def test_it_is_as_late_and_as_strict_as_the_real_one(
    there: Project, serverless: Collection
) -> None:
    """The stub itself: without what raypipe does about it, nothing would work."""
    from botocore.credentials import Credentials
    from opensearchpy import NotFoundError, OpenSearch, Urllib3AWSV4SignerAuth

    signed = Urllib3AWSV4SignerAuth(Credentials(SIGNER.key, SIGNER.secret), "eu-west-1", "aoss")
    client = OpenSearch(serverless.url, http_auth=signed)
    for method, path in (("GET", "/"), ("POST", "/books/_refresh"), ("GET", "/_cluster/health")):
        with pytest.raises(NotFoundError):
            client.transport.perform_request(method, path)
    vector = {"type": "knn_vector", "dimension": 2, "method": {"name": "hnsw", "engine": "faiss"}}
    mappings = {"properties": {"summary_vector": vector}}
    body = {"settings": {"index": {"knn": True}}, "mappings": mappings}
    client.indices.create(index=there.index, body=body)
    with pytest.raises(NotFoundError):
        client.indices.get(index=there.index)
    time.sleep(serverless.behind_s)
    document = {"summary_vector": [1, 2]}
    own = client.bulk(body=[{"index": {"_id": "1"}}, document], index=there.index)
    assert own["items"][0]["index"]["status"] == 400
    client.bulk(body=[{"index": {}}, document], index=there.index)
    assert client.count(index=there.index)["count"] == 0
    time.sleep(serverless.visible_s + 1)
    assert client.count(index=there.index)["count"] == 1
