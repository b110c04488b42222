"""Simulate an OpenSearch server that fails on demand.

The server stores documents by id with external_gte versions, and makes missing ids. Each request
to `_bulk` takes the next step of its script: a reply, a function that returns a reply, or None to
index the documents.
"""

from __future__ import annotations

import gzip
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson

PHYSICAL = "books-20260101000000"


@dataclass
class Request:
    method: str
    path: str
    params: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes  # decompressed
    sent_bytes: int
    target: str = ""  # path and query as received
    raw: bytes = b""  # the body as received

    @property
    def docs(self) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        lines = [orjson.loads(line) for line in self.body.splitlines()]
        return [
            (action["index"], source)
            for action, source in zip(lines[::2], lines[1::2], strict=True)
        ]

    @property
    def ids(self) -> list[str]:
        return [action["_id"] for action, _ in self.docs]


@dataclass
class Reply:
    status: int = 200
    body: Any = field(default_factory=dict)
    content_type: str = "application/json"
    reset: bool = False
    delay_s: float = 0.0
    headers: dict[str, str] = field(default_factory=dict)


Step = Callable[[Request], Reply | None] | Reply | None


class Stub:
    def __init__(self, port: int = 0) -> None:
        self.requests: list[Request] = []
        self.steps: deque[Step] = deque()
        self.always: Callable[[Request], Reply | None] | None = None
        self.docs: dict[str, tuple[int, dict[str, Any]]] = {}
        self.paths: dict[str, Reply] = {}
        self.settings: dict[str, Any] = {}  # of the index
        self.guard: Callable[[Request], Reply | None] | None = None
        stub = self

        class Handler(_Handler):
            owner = stub

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def bulks(self) -> list[Request]:
        return [request for request in self.requests if request.path.endswith("/_bulk")]

    def answer(self, request: Request) -> Reply:
        self.requests.append(request)
        if self.guard is not None and (refused := self.guard(request)) is not None:
            return refused
        if request.path in self.paths:
            return self.paths[request.path]
        if request.path.endswith("/_bulk"):
            step = self.steps.popleft() if self.steps else self.always
            reply = step(request) if callable(step) else step
            return reply if reply is not None else self.index(request)
        if (request.method, request.path) == ("GET", f"/{PHYSICAL}"):
            return Reply(body={PHYSICAL: {"settings": {"index": self.settings}}})
        if request.path == "/_aliases":
            return Reply(body={"acknowledged": True})
        if request.path.endswith("/_mget"):
            ids = orjson.loads(request.body)["ids"]
            return Reply(body={"docs": [self._document(doc_id) for doc_id in ids]})
        return Reply(404, {"error": {"type": "no_such_path"}, "status": 404})

    def index(self, request: Request, failing: dict[str, dict[str, Any]] | None = None) -> Reply:
        """Index all documents but those in `failing`, which holds their results by id."""
        items = []
        for action, source in request.docs:
            book_id = action.get("_id") or f"made-{len(self.docs)}"
            version = action.get("version", 0)
            item: dict[str, Any] = {"_id": book_id, "_index": PHYSICAL}
            result = "updated" if book_id in self.docs else "created"
            if failing and book_id in failing:
                item |= failing[book_id]
            elif book_id in self.docs and version < self.docs[book_id][0]:
                reason = f"[{book_id}]: version conflict, current version [{self.docs[book_id][0]}]"
                cause = error("version_conflict_engine_exception", reason)
                item |= {"status": 409, "error": cause}
            else:
                item |= {"status": 200 if book_id in self.docs else 201, "result": result}
                self.docs[book_id] = (version, source)
            items.append({"index": item})
        return Reply(body={"took": 3, "items": items})

    def _document(self, book_id: str) -> dict[str, Any]:
        if book_id not in self.docs:
            return {"_id": book_id, "found": False}
        version, source = self.docs[book_id]
        return {"_id": book_id, "found": True, "_version": version, "_source": source}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each body waits 40 ms for the headers' acknowledgment
    owner: Stub

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("content-length", 0)))
        zipped = self.headers.get("content-encoding") == "gzip"
        url = urlsplit(self.path)
        reply = self.owner.answer(
            Request(
                self.command,
                url.path,
                parse_qs(url.query),
                {name.lower(): value for name, value in self.headers.items()},
                gzip.decompress(raw) if zipped else raw,
                len(raw),
                self.path,
                raw,
            )
        )
        time.sleep(reply.delay_s)
        if reply.reset:
            self.close_connection = True
            self.connection.close()
            return
        body = reply.body if isinstance(reply.body, bytes) else orjson.dumps(reply.body)
        try:
            self.send_response(reply.status)
            self.send_header("content-type", reply.content_type)
            self.send_header("content-length", str(len(body)))
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)
        except OSError:
            self.close_connection = True  # the client stopped waiting

    do_GET = do_PUT = do_DELETE = do_POST

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""


def error(kind: str, reason: str = "") -> dict[str, str]:
    return {"type": kind, "reason": reason}


def failed(status: int, kind: str = "some_exception", reason: str = "") -> Reply:
    return Reply(status, {"error": error(kind, reason), "status": status})


def items_failing(stub: Stub, **items: tuple[int, str]) -> Callable[[Request], Reply]:
    """Return a step that fails these ids with a status and a type, and indexes the others."""

    def step(request: Request) -> Reply:
        cells = {
            book_id: {"status": status, "error": error(kind, f"{kind} of [words] 'a secret'")}
            for book_id, (status, kind) in items.items()
        }
        return stub.index(request, cells)

    return step
