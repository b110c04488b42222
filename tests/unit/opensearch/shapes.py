"""Send every kind of request once, to record and replay the responses of real servers.

`python -m tests.unit.opensearch.shapes http://localhost:9200` records the responses of the server
at this address in `recorded/<version>.json`; it creates and deletes the index `wire-shapes`.
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
from tests.unit.opensearch.builders import DIMENSION, document
from tests.unit.opensearch.forwarding import Answer, Forwarding, serving
from tests.unit.opensearch.stub import Reply, Request, Stub

RECORDED = Path(__file__).parent / "recorded"
NAME = "wire-shapes"
CONTENTS = IndexSpec(DIMENSION, {"model": "stub"}, "state-1", "recipe-1")
OTHER = dataclasses.replace(CONTENTS, recipe="recipe-2")
VECTOR = (0.5, 0.5, 0.5, 0.5)


def walk(url: str) -> dict[str, Any]:
    """Go through the life of an index; return the result of each step."""
    alias = IndexAlias(IndexConfig(Connection(url), index=NAME))
    results: dict[str, Any] = {"plugins": "knn" in (alias.check_server().plugins or ())}
    results["none yet"] = alias.find() is None
    index = alias.ensure(CONTENTS)
    results["again"] = alias.ensure(CONTENTS).ref.generation == index.ref.generation
    results["written"] = _write(index, 5, bad=True)
    results["the same again"] = _write(index, 5)
    results["a zombie"] = _write(index, 4, etag="old")
    index.refresh()
    results["count"] = index.count()
    results["scanned"] = [list(book) for book in index.scan(page_size=2)]
    results["read"] = index.mget(["b1", "none"], ["etag", "title"])
    results["searched"] = [
        (hit.rank, hit.book_id, hit.title)
        for hit in search_vector(index, _array(VECTOR), "keepers quarrel", 2)
    ]
    results["nearest"] = index.is_nearest("b1", list(VECTOR), 1e-4)
    results |= _rebuild(alias, index)
    results |= _provoke_refusals(alias)
    for ref in alias.list_indices(CONTENTS.state):
        alias.delete(ref.physical)
    results["deleted"] = alias.find() is None
    return results


def _rebuild(alias: IndexAlias, old: Index) -> dict[str, Any]:
    results: dict[str, Any] = {}
    build = alias.open(OTHER)
    build.apply_load_settings()
    results["beside"] = _write(build, 6)
    build.delete_books(["b2", "none"], 7)
    found = alias.find_build()
    results["found"] = found is not None and found.ref.physical == build.ref.physical
    build.restore_settings()
    build.force_merge(1, timeout_s=60.0)
    results["went over from"] = alias.switch_to(build.ref.physical) == old.ref.physical
    build.refresh()
    results["left"] = [book.book_id for book in build.scan()]
    other = dataclasses.replace(CONTENTS, dimension=DIMENSION + 1, recipe="recipe-2")
    try:
        alias.ensure(other)
    except SetupError as error:
        results["unlike"] = str(error).replace(alias.config.connection.endpoint, "")
    return results


def _provoke_refusals(alias: IndexAlias) -> dict[str, Any]:
    results: dict[str, Any] = {}
    index = alias.find()
    assert index is not None
    path = f"/{index.ref.physical}/_settings"
    for name, blocked in (("blocked", True), ("open again", False)):
        index.connection.ask("PUT", path, body={"index": {"blocks": {"write": blocked}}})
        results[name] = _write(index, 8)
    deleted = dataclasses.replace(index.ref, physical=f"{NAME}-gone")
    results["gone"] = _write(alias.bind(deleted), 8)
    try:
        body: dict[str, Any] = {"query": {"no": {}}}
        index.connection.ask("POST", f"/{index.ref.physical}/_search", body=body)
    except SetupError as error:
        results["bad query"] = str(error).replace(index.connection.endpoint, "")
    return results


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
    """Give indices and generations the same names each time."""
    seconds, ids = itertools.count(), itertools.count()
    start = datetime(2026, 1, 1, tzinfo=UTC)
    moments = SimpleNamespace(now=lambda _: start + timedelta(seconds=next(seconds)))
    names = SimpleNamespace(uuid4=lambda: SimpleNamespace(hex=f"{next(ids):032x}"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(admin, "datetime", moments)
        patch.setattr(metadata, "uuid", names)
        yield


def replay(stub: Stub, recorded: dict[str, Any]) -> None:
    """Answer each request with the recorded response to the same request line."""
    answers: dict[str, deque[dict[str, Any]]] = {}
    for exchange in recorded["exchanges"]:
        answers.setdefault(exchange["asked"], deque()).append(exchange)

    def answer(request: Request) -> Reply:
        line = f"{request.method} {request.target}"
        assert answers.get(line), f"not recorded: {line}; see the docstring of shapes.py"
        exchange = answers[line].popleft()
        return Reply(exchange["status"], exchange["body"])

    stub.guard = answer


def record(node: str) -> Path:
    """Record the responses of a server; return the file."""
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
        results = walk(f"http://127.0.0.1:{port}")
    version = next(part for part in exchanges if part["asked"] == "GET /")["body"]["version"]
    file = RECORDED / f"{version['number']}.json"
    file.write_bytes(to_lines(results, exchanges))
    return file


def to_lines(results: dict[str, Any], exchanges: list[dict[str, Any]]) -> bytes:
    """Return JSON with an exchange in each line, so that recordings can be compared by eye."""
    lines = b",\n".join(map(orjson.dumps, exchanges))
    return b'{"told": %b,\n"exchanges": [\n%b\n]}\n' % (orjson.dumps(results), lines)


if __name__ == "__main__":
    print(record(sys.argv[1]))
