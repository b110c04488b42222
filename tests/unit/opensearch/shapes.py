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
from raypipe.opensearch.bulk.error_policy import SinkError
from raypipe.opensearch.bulk.writer import BulkWriter
from raypipe.opensearch.connection.client import Connection
from raypipe.opensearch.index import Index, IndexAlias, IndexConfig, IndexSpec, admin, metadata
from raypipe.opensearch.search import search_vector
from tests.unit.opensearch.forwarding import Answer, Forwarding, serving
from tests.unit.opensearch.parts import DIMENSION, document
from tests.unit.opensearch.stub import Reply, Request, Stub

RECORDED = Path(__file__).parent / "recorded"
NAME = "wire-shapes"
CONTENTS = IndexSpec(DIMENSION, {"model": "stub"}, "state-1", "recipe-1")
OTHER = dataclasses.replace(CONTENTS, recipe="recipe-2")
VECTOR = (0.5, 0.5, 0.5, 0.5)


def walk(url: str) -> dict[str, Any]:
    """Go through the life of an index; return the result of each step."""
    alias = IndexAlias(IndexConfig(Connection(url), index=NAME))
    told: dict[str, Any] = {"plugins": "knn" in (alias.check_server().plugins or ())}
    told["none yet"] = alias.find() is None
    index = alias.ensure(CONTENTS)
    told["again"] = alias.ensure(CONTENTS).ref.generation == index.ref.generation
    told["written"] = _write(index, 5, bad=True)
    told["the same again"] = _write(index, 5)
    told["a zombie"] = _write(index, 4, etag="old")
    index.refresh()
    told["count"] = index.count()
    told["scanned"] = [list(book) for book in index.scan(page_size=2)]
    told["read"] = index.mget(["b1", "none"], ["etag", "title"])
    told["searched"] = [
        (hit.rank, hit.book_id, hit.title)
        for hit in search_vector(index, _array(VECTOR), "keepers quarrel", 2)
    ]
    told["nearest"] = index.is_nearest("b1", list(VECTOR), 1e-4)
    told |= _rebuild(alias, index)
    told |= _provoke_refusals(alias)
    for ref in alias.list_indices(CONTENTS.state):
        alias.delete(ref.physical)
    told["deleted"] = alias.find() is None
    return told


def _rebuild(alias: IndexAlias, old: Index) -> dict[str, Any]:
    told: dict[str, Any] = {}
    build = alias.open(OTHER)
    build.apply_load_settings()
    told["beside"] = _write(build, 6)
    build.delete_books(["b2", "none"], 7)
    found = alias.find_build()
    told["found"] = found is not None and found.ref.physical == build.ref.physical
    build.restore_settings()
    build.force_merge(1, timeout_s=60.0)
    told["went over from"] = alias.switch_to(build.ref.physical) == old.ref.physical
    build.refresh()
    told["left"] = [book.book_id for book in build.scan()]
    other = dataclasses.replace(CONTENTS, dimension=DIMENSION + 1, recipe="recipe-2")
    try:
        alias.ensure(other)
    except SetupError as error:
        told["unlike"] = str(error).replace(alias.config.connection.endpoint, "")
    return told


def _provoke_refusals(alias: IndexAlias) -> dict[str, Any]:
    told: dict[str, Any] = {}
    index = alias.find()
    assert index is not None
    path = f"/{index.ref.physical}/_settings"
    for name, blocked in (("blocked", True), ("open again", False)):
        index.connection.ask("PUT", path, body={"index": {"blocks": {"write": blocked}}})
        told[name] = _write(index, 8)
    deleted = dataclasses.replace(index.ref, alias=f"{NAME}-gone")
    told["gone"] = _write(alias.bind(deleted), 8)
    try:
        body: dict[str, Any] = {"query": {"no": {}}}
        index.connection.ask("POST", f"/{index.ref.physical}/_search", body=body)
    except SetupError as error:
        told["bad query"] = str(error).replace(index.connection.endpoint, "")
    return told


def _write(index: Index, run_seq: int, *, etag: str = "e1", bad: bool = False) -> Any:
    """Write three books, and one that fits no mapping; return the results."""
    books = [document(f"b{number}", etag=etag) for number in range(1, 4)]
    books += [document("bad", words=2**63 - 1, size="not a number")] if bad else []
    writer = BulkWriter(
        index.bulk_target(),
        index.write_strategy(run_seq),
        sleep=lambda _: None,
        jitter=lambda _: 0.0,
    )
    try:
        results = [result for batch in writer.write(books) for result in batch]
    except SinkError as error:
        return error.status
    return [
        (result.doc_id, getattr(result, "result", getattr(result, "kind", "")))
        for result in results
    ]


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
        patch.setattr(admin, "datetime", moments)
        patch.setattr(metadata, "uuid", names)
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
