"""All that raypipe asks of a server, once, to record and replay what servers answer.

`python -m tests.unit.opensearch.shapes http://localhost:9200` writes down what the server there
answers (`recorded/<version>.json`); the index `wire-shapes` is made and deleted for it.
"""

from __future__ import annotations

import dataclasses
import itertools
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from raypipe.core.errors import SetupError
from raypipe.opensearch.bulk.writer import BulkWriter, SinkError
from raypipe.opensearch.connection.capabilities import check_server
from raypipe.opensearch.connection.client import Connection
from raypipe.opensearch.index import index as indices
from raypipe.opensearch.index import rebuild as build
from raypipe.opensearch.index.config import IndexConfig, IndexRef, IndexSpec
from raypipe.opensearch.index.deletes import delete_books
from raypipe.opensearch.index.reads import mget, refresh, scan_ids
from raypipe.opensearch.search import is_nearest, search_vector
from tests.unit.opensearch.forwarding import Answer, Forwarding, serving
from tests.unit.opensearch.parts import DIMENSION, document
from tests.unit.opensearch.stub import Reply, Request, Stub

RECORDED = Path(__file__).parent / "recorded"
NAME = "wire-shapes"
CONTENTS = IndexSpec(DIMENSION, {"model": "stub"}, "state-1", "recipe-1")
OTHER = dataclasses.replace(CONTENTS, recipe="recipe-2")
VECTOR = (0.5, 0.5, 0.5, 0.5)


def walk(url: str) -> dict[str, Any]:
    """Go through the life of an index; returns what came of each step."""
    index = IndexConfig(Connection(url), index=NAME)
    told: dict[str, Any] = {"plugins": "knn" in (check_server(index).plugins or ())}
    told["none yet"] = indices.find(index) is None
    handle = indices.ensure(index, CONTENTS)
    told["again"] = indices.ensure(index, CONTENTS).generation == handle.generation
    told["written"] = _written(index, handle, 5, bad=True)
    told["the same again"] = _written(index, handle, 5)
    told["a zombie"] = _written(index, handle, 4, etag="old")
    refresh(index, handle)
    told["count"] = indices.count(index, handle)
    told["scanned"] = [list(one) for one in scan_ids(index, handle, page=2)]
    told["read"] = mget(index, handle, ["b1", "none"], ["etag", "title"])
    told["searched"] = [
        (hit.rank, hit.book_id, hit.title)
        for hit in search_vector(index, handle, _array(VECTOR), "keepers quarrel", 2)
    ]
    told["nearest"] = is_nearest(index, handle, "b1", list(VECTOR), 1e-4)
    told |= _beside(index, handle)
    told |= _refusals(index)
    for one in build.family(index, CONTENTS.state):
        indices.delete(index, one.physical)
    told["deleted"] = indices.find(index) is None
    return told


def _beside(index: IndexConfig, old: IndexRef) -> dict[str, Any]:
    told: dict[str, Any] = {}
    made = build.open_index(index, OTHER)
    build.apply_load_settings(index, made)
    told["beside"] = _written(index, made, 6)
    delete_books(index, made, ["b2", "none"], 7)
    found = build.find_build(index)
    told["found"] = found is not None and found.physical == made.physical
    build.restore_index_settings(index, made)
    params = {"max_num_segments": 1, "wait_for_completion": "false"}
    task = index.connection.ask("POST", f"/{made.physical}/_forcemerge", params=params)
    build.wait_for_task(index, str(task["task"]), 60.0)
    told["went over from"] = build.switch_alias(index, made.physical) == old.physical
    refresh(index, made)
    told["left"] = [one.book_id for one in scan_ids(index, made)]
    other = dataclasses.replace(CONTENTS, dimension=DIMENSION + 1, recipe="recipe-2")
    try:
        indices.ensure(index, other)
    except SetupError as error:
        told["unlike"] = str(error).replace(index.connection.endpoint, "")
    return told


def _refusals(index: IndexConfig) -> dict[str, Any]:
    told: dict[str, Any] = {}
    handle = indices.find(index)
    assert handle is not None
    path = f"/{handle.physical}/_settings"
    for name, blocked in (("blocked", True), ("open again", False)):
        index.connection.ask("PUT", path, body={"index": {"blocks": {"write": blocked}}})
        told[name] = _written(index, handle, 8)
    told["gone"] = _written(index, dataclasses.replace(handle, alias=f"{NAME}-gone"), 8)
    try:
        index.connection.ask("POST", f"/{handle.physical}/_search", body={"query": {"no": {}}})
    except SetupError as error:
        told["bad query"] = str(error).replace(index.connection.endpoint, "")
    return told


def _written(
    index: IndexConfig,
    handle: IndexRef,
    run_seq: int,
    *,
    etag: str = "e1",
    bad: bool = False,
) -> Any:
    """Return the results of writing three books, and one that fits no mapping."""
    books = [document(f"b{number}", etag=etag) for number in range(1, 4)]
    books += [document("bad", words=2**63 - 1, size="not a number")] if bad else []
    writer = BulkWriter(index, handle, run_seq, sleep=lambda _: None, jitter=lambda _: 0.0)
    try:
        results = [one for several in writer.write(books) for one in several]
    except SinkError as error:
        return error.status
    return [(one.book_id, getattr(one, "result", getattr(one, "kind", ""))) for one in results]


def _array(values: Any) -> Any:
    import numpy as np

    return np.asarray(values, dtype=np.float32)


@contextmanager
def same_names() -> Iterator[None]:
    """Let indices and generations be called the same each time."""
    seconds, ids = itertools.count(), itertools.count()
    start = datetime(2026, 1, 1, tzinfo=UTC)
    moments = SimpleNamespace(now=lambda _: start + timedelta(seconds=next(seconds)))
    names = SimpleNamespace(uuid4=lambda: SimpleNamespace(hex=f"{next(ids):032x}"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(indices, "datetime", moments)
        patch.setattr(indices, "uuid", names)
        yield


def replay(stub: Stub, recorded: dict[str, Any]) -> None:
    """Let a server answer as another one did: request by request of the same line."""
    answers: dict[str, deque[dict[str, Any]]] = {}
    for one in recorded["exchanges"]:
        answers.setdefault(one["asked"], deque()).append(one)

    def answer(request: Request) -> Reply:
        asked = f"{request.method} {request.target}"
        assert answers.get(asked), f"not recorded: {asked}; see the head of shapes.py"
        one = answers[asked].popleft()
        return Reply(one["status"], one["body"])

    stub.guard = answer


def record(node: str) -> Path:
    """Write down what a server answers; returns the file."""
    exchanges: list[dict[str, Any]] = []

    class Recording(Forwarding):
        def respond(self, body: bytes) -> Answer:
            answer = self.forward(body)
            exchanges.append(
                {
                    "asked": f"{self.command} {self.path}",
                    "status": answer.status,
                    "body": orjson.loads(answer.body) if answer.body else {},
                }
            )
            return answer

    with serving(Recording, node) as port, same_names():
        told = walk(f"http://127.0.0.1:{port}")
    version = next(one for one in exchanges if one["asked"] == "GET /")["body"]["version"]
    file = RECORDED / f"{version['number']}.json"
    file.write_bytes(as_lines(told, exchanges))
    return file


def as_lines(told: dict[str, Any], exchanges: list[dict[str, Any]]) -> bytes:
    """Return JSON with an exchange a line, so that a new recording can be compared by eye."""
    lines = b",\n".join(map(orjson.dumps, exchanges))
    return b'{"told": %b,\n"exchanges": [\n%b\n]}\n' % (orjson.dumps(told), lines)


if __name__ == "__main__":
    print(record(sys.argv[1]))
