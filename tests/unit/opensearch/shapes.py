"""Send every kind of request once, to record and replay the responses of real servers.

`python -m tests.unit.opensearch.shapes http://localhost:9200` records the responses of the server
at this address in `recorded/<version>.json`. It creates and deletes indices, aliases and a pipeline
whose names begin with `wire-shapes`. The server needs a node with the role `ingest`, which the
embedded node lacks.
"""

from __future__ import annotations

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

from raypipe.opensearch.connection.client import Connection
from raypipe.opensearch.index import admin, metadata, service_history
from tests.unit.opensearch.forwarding import Answer, Forwarding, serving
from tests.unit.opensearch.stub import Reply, Request, Stub, failed
from tests.unit.opensearch.walk import walk

RECORDED = Path(__file__).parent / "recorded"


@contextmanager
def same_names() -> Iterator[None]:
    """Give indices, generations and times of service the same values each time."""
    seconds, ids = itertools.count(), itertools.count()
    start = datetime(2026, 1, 1, tzinfo=UTC)
    moments = SimpleNamespace(now=lambda _: start + timedelta(seconds=next(seconds)))
    names = SimpleNamespace(uuid4=lambda: SimpleNamespace(hex=f"{next(ids):032x}"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(admin, "datetime", moments)
        patch.setattr(metadata, "uuid", names)
        patch.setattr(service_history, "_now", lambda: f"{start:%Y-%m-%dT%H:%M:%SZ}")
        yield


def replay(stub: Stub, recorded: dict[str, Any]) -> list[str]:
    """Answer each request with the recorded response to the same request line.

    Returns:
        The request lines that were not recorded, filled while the stub answers.
    """
    missing: list[str] = []
    answers: dict[str, deque[dict[str, Any]]] = {}
    for exchange in recorded["exchanges"]:
        answers.setdefault(exchange["asked"], deque()).append(exchange)

    def answer(request: Request) -> Reply:
        line = f"{request.method} {request.target}"
        if not answers.get(line):
            missing.append(line)
            return failed(501, "not_recorded")  # not retried, unlike a cut connection
        exchange = answers[line].popleft()
        return Reply(exchange["status"], exchange["body"])

    stub.guard = answer
    return missing


def record(node: str) -> Path:
    """Record the responses of a server; return the file."""
    nodes = Connection(node).ask("GET", "/_nodes/ingest:true")["_nodes"]
    if not nodes["total"]:
        sys.exit(f"{node} has no node with the role ingest; record the answers of another server")
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
