"""A stub of a Serverless vector collection in front of a real node.

The stub generates ids and rejects given ids; it has no `GET /`, no refresh and no shard settings;
it shows writes and new indices after a delay; and it checks signatures. It injects faults on
request.

The node forces two differences: the engine is Lucene, because the node has no native libraries,
and the delay of writes is the node's `refresh_interval`.

Sources: "Supported operations and plugins in Amazon OpenSearch Serverless", AWS; opensearch-py
issue 792 for the error message about ids.
"""

from __future__ import annotations

import gzip
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson

from tests.unit.opensearch.forwarding import Answer, Forwarding, serving
from tests.unit.opensearch.sigv4 import Signer

SIGNER = Signer(
    "simulated", "simulated", "eu-west-1", "aoss"
)  # the credentials of the tests' workers
NO_IDS = "Document ID is not supported in create/index operation request"
_UNSUPPORTED = re.compile(
    r"^/$|/_refresh|/_forcemerge|/_cluster|/_cat/plugins|/_tasks|/_nodes|/_ilm"
)
_GENERATED = ("_id", "version", "version_type", "routing")


@dataclass
class Collection:
    """Settings of the collection, and counters of what it received.

    Args:
        visible_s: Seconds until a search shows a write.
        behind_s: Seconds until a new index exists for its clients.
        unknown: Lose the response of every nth bulk request; 0 for none. In turn, the request is
            not carried out, is carried out and disconnected, is carried out and answered 503.
        full: Answer 402 to every nth bulk request, as while the capacity grows; 0 for none.
        kind: The collection's type; `SEARCH` supports no vectors.
        url: Where it is served.
        seen: Counts of the requests by kind.
    """

    visible_s: int = 10
    behind_s: float = 0.0
    unknown: int = 0
    full: int = 0
    kind: str = "VECTORSEARCH"
    url: str = ""
    seen: Counter[str] = field(default_factory=Counter)
    _created: dict[str, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def options(self, *more: str) -> list[str]:
        """Return the options of a run that writes to the collection."""
        return [
            "opensearch=aws_serverless", f"opensearch.endpoint={self.url}",
            "opensearch.connection.region=eu-west-1",
            f"opensearch.visible_s={self.visible_s + 3}", *more,
        ]  # fmt: skip

    def next_fault(self) -> str:
        """Return the fault of the next bulk request; empty for none."""
        with self._lock:
            self.seen["bulk"] += 1
            if self.unknown and not self.seen["bulk"] % self.unknown:
                self.seen["unknown"] += 1
                return ("cut", "503", "lost")[self.seen["unknown"] % 3]
            if self.full and not self.seen["bulk"] % self.full:
                self.seen["full"] += 1
                return "402"
        return ""

    def is_behind(self, path: str) -> bool:
        """Whether an index was created so recently that clients do not see it yet."""
        name = path.lstrip("/").partition("/")[0].partition("?")[0]
        return time.monotonic() - self._created.get(name, -1e9) < self.behind_s

    def record_creation(self, body: dict[str, Any], path: str) -> None:
        """Record the time of an index's creation, for its name and its aliases."""
        names = [path.strip("/"), *body.get("aliases", {})]
        self._created |= dict.fromkeys(names, time.monotonic())


@contextmanager
def collection(node: str, settings: Collection | None = None) -> Iterator[Collection]:
    """Serve a collection in front of a node."""
    stub = settings or Collection()

    class Handler(Forwarding):
        def respond(self, body: bytes) -> Answer | None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            if message := SIGNER.refusal(self.command, self.path, headers, body):
                stub.seen["unsigned"] += 1
                return _answer(403, {"message": message})
            if _UNSUPPORTED.search(self.path.partition("?")[0]):
                stub.seen["unsupported"] += 1
                return Answer(404, b"404 page not found", "text/plain")
            if headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            if "/_bulk" in self.path:
                return self._bulk(body)
            if stub.is_behind(self.path):
                return _error(404, "index_not_found_exception", "no such index")
            if self.command == "PUT" and self.path.count("/") == 1:
                return self._create(body)
            return self._forward(body)

        def _create(self, body: bytes) -> Answer:
            wanted = orjson.loads(body)
            settings = wanted["settings"]["index"]
            if stub.kind != "VECTORSEARCH":
                message = f"KNN features not supported on {stub.kind} collection type"
                return _error(400, "illegal_argument_exception", message)
            if set(settings) != {"knn"}:
                return _error(400, "illegal_argument_exception", f"unknown setting {settings}")
            method = wanted["mappings"]["properties"]["summary_vector"]["method"]
            if method["engine"] != "faiss":
                return _error(400, "illegal_argument_exception", "the engine must be faiss")
            method["engine"] = "lucene"
            settings |= {"refresh_interval": f"{stub.visible_s}s", "number_of_replicas": 0}
            answer = self._forward(orjson.dumps(wanted))
            stub.record_creation(wanted, self.path)
            return answer

        def _bulk(self, body: bytes) -> Answer | None:
            lines = [orjson.loads(line) for line in body.splitlines() if line]
            actions = [line for line in lines if len(line) == 1 and set(line) & {"index", "create"}]
            if any(set(next(iter(action.values()))) & set(_GENERATED) for action in actions):
                stub.seen["ids"] += 1
                item = {"status": 400, "error": {"type": "illegal_argument_exception"}}
                item["error"] |= {"reason": NO_IDS}  # type: ignore[operator]
                return _answer(200, {"items": [{"index": item} for _ in actions]})
            if stub.is_behind(self.path):
                return _error(404, "index_not_found_exception", "no such index")
            fault = stub.next_fault() if actions else ""
            if fault == "402":
                return _error(402, "service_quota_exceeded_exception", "maximum OCU capacity")
            answer = self._forward(body) if fault != "lost" else None
            return {"cut": None, "503": Answer(503, b"", "text/html")}.get(fault, answer)

        def _forward(self, body: bytes) -> Answer:
            if "content-encoding" in self.headers:
                del self.headers["content-encoding"]
            return self.forward(body)

    with serving(Handler, node) as port:
        stub.url = f"http://127.0.0.1:{port}"
        yield stub


def _error(status: int, kind: str, reason: str) -> Answer:
    return _answer(status, {"error": {"type": kind, "reason": reason}, "status": status})


def _answer(status: int, body: dict[str, Any]) -> Answer:
    return Answer(status, orjson.dumps(body))
