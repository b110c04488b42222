"""Errors with a known cause give the way out, and keep the reason of the server."""

from __future__ import annotations

from typing import Any

import pytest

from raypipe.core.errors import SetupError
from raypipe.opensearch.bulk.obstacles import find_obstacle
from raypipe.opensearch.connection.client import Connection
from raypipe.opensearch.connection.errors import describe_cause, strip_content
from raypipe.opensearch.connection.known_causes import explain_cause
from raypipe.opensearch.index.admin import IndexAdmin
from raypipe.opensearch.index.config import IndexConfig
from tests.unit.opensearch.stub import Reply, Stub, failed

BLOCK = "cluster_block_exception"
KNOWN = [
    (
        (403, BLOCK, "index [books-1] blocked by: [FORBIDDEN/8/index write (api)];"),
        ["index.blocks in PUT /books-1/_settings", "[FORBIDDEN/8/index write (api)]"],
    ),
    (
        (403, BLOCK, "index [books-1] blocked by: [FORBIDDEN/5/index read-only (api)];"),
        ["index.blocks in PUT /books-1/_settings"],
    ),
    (
        (
            429,
            BLOCK,
            "index [books-1] blocked by: [TOO_MANY_REQUESTS/12/disk usage exceeded flood-stage "
            "watermark, index has read-only-allow-delete block];",
        ),
        ["the disk of a node is nearly full", "free disk space", "flood-stage watermark, index"],
    ),
    (
        (403, BLOCK, "index [b] blocked by: [FORBIDDEN/12/index read-only / allow delete (api)];"),
        ["the disk of a node is nearly full"],
    ),
    (
        (403, BLOCK, "blocked by: [FORBIDDEN/10/cluster create-index blocked (api)];"),
        ["cluster.blocks.create_index to null", "free disk space"],
    ),
    (
        (403, BLOCK, "blocked by: [FORBIDDEN/6/cluster read-only (api)];"),
        ["cluster.blocks.read_only"],
    ),
    (
        (503, BLOCK, "blocked by: [SERVICE_UNAVAILABLE/1/state not recovered / initialized];"),
        [
            "no elected manager node",
        ],
    ),
    ((400, "index_closed_exception", "closed"), ["POST /INDEX/_open"]),
    (
        (
            400,
            "validation_exception",
            "Validation Failed: 1: this action would add [2] total shards, but this cluster "
            "currently has [1000]/[1000] maximum shards open;",
        ),
        ["raypipe gc", "cluster.max_shards_per_node", "[1000]/[1000]"],
    ),
    (
        (
            400,
            "illegal_argument_exception",
            "cannot create index with name [books-1], because it matches with template [t] that "
            "creates data streams only, use create data stream api instead",
        ),
        ["GET /_index_template", "another opensearch.index"],
    ),
    (
        (
            400,
            "invalid_alias_name_exception",
            "Invalid alias name [books]: an index or data stream exists with the same name as the "
            "alias",
        ),
        ["another opensearch.index"],
    ),
    (
        (
            400,
            "mapper_parsing_exception",
            "Failed to parse mapping [_doc]: No handler for type [knn_vector] declared on field "
            "[vector]",
        ),
        ["k-NN plugin is not installed"],
    ),
    ((400, "illegal_argument_exception", "unknown setting [index.knn]"), ["k-NN plugin"]),
    (
        (400, "illegal_argument_exception", "unknown setting [index.other] please check"),
        ["GET /_index_template"],
    ),
    (
        (
            404,
            "index_not_found_exception",
            "no such index [books] and [action.auto_create_index] is [false]",
        ),
        ["create the index first"],
    ),
    ((400, "illegal_argument_exception", "collection type SEARCH"), ["VECTORSEARCH"]),
]


@pytest.mark.parametrize(("answer", "expected"), KNOWN, ids=lambda value: str(value[-1])[:50])
def test_a_known_cause_gives_the_way_out_and_the_reason(
    answer: tuple[int, str, str],
    expected: list[str],
    stub: Stub,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("raypipe.opensearch.connection.client.MAX_TRIES", 1)
    stub.paths["/books-1"] = failed(*answer)
    with pytest.raises(SetupError) as caught:
        Connection(stub.url).ask("PUT", "/books-1", body={})
    message = str(caught.value)
    assert [words for words in expected if words not in message] == [], message
    assert "the user may not" not in message
    assert "\n" not in message


def test_a_cause_below_a_failed_search_is_found() -> None:
    root = {"type": BLOCK, "reason": "index [b] blocked by: [FORBIDDEN/7/index read (api)];"}
    cause: dict[str, Any] = {
        "type": "search_phase_execution_exception",
        "reason": "all shards failed",
        "root_cause": [root],
    }
    assert "PUT /b/_settings" in explain_cause(cause)
    assert describe_cause(cause) == f"{BLOCK}: {root['reason']}"
    assert explain_cause({"type": "x", "reason": "y"}) == explain_cause(None) == ""


def test_only_lasting_blocks_end_a_write_at_once() -> None:
    def obstacle(reason: str) -> str:
        return find_obstacle({"type": BLOCK, "reason": f"index [b] blocked by: [{reason}];"})

    assert "index.blocks" in obstacle("FORBIDDEN/8/index write (api)")
    assert obstacle("TOO_MANY_REQUESTS/12/disk usage exceeded flood-stage watermark") == ""


def test_text_of_a_document_is_removed_beside_blocks_and_permissions() -> None:
    reason = "no permissions for [indices:data/write/bulk] of [my secret, text] 'another'"
    assert strip_content(reason) == "no permissions for [indices:data/write/bulk] of […] …"


def test_a_data_stream_of_the_name_gets_a_way_out(stub: Stub) -> None:
    body = {"aliases": {}, "mappings": {}, "settings": {}, "data_stream": "books"}
    stub.paths["/books"] = Reply(body={f".ds-books-00000{number}": body for number in (1, 2)})
    with pytest.raises(SetupError, match=r"is a data stream.*DELETE /_data_stream/books"):
        IndexAdmin(IndexConfig(Connection(stub.url), index="books")).describe()


def test_causes_of_any_shape_are_read() -> None:
    closed = {"type": "index_closed_exception", "reason": "closed", "root_cause": 5}
    for _ in range(5_000):
        closed = {"type": "wrapper", "root_cause": "none", "caused_by": closed}
    assert explain_cause(closed).startswith("the index is closed")
