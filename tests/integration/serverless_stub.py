"""A Serverless collection for vectors: a real node behind rules of its own.

It makes ids itself and refuses those of others, has no `GET /`, no refresh and no settings of
shards, shows what was written when its time has come, is behind with a new index, and checks
signatures. What goes wrong on the way can be asked for.

Two things differ for the node's sake: the engine is Lucene, since the node has no native libraries,
and what is behind is its `refresh_interval`.

Sources: "Supported operations and plugins in Amazon OpenSearch Serverless", AWS; opensearch-py
issue 792 for the words about ids.
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

SIGNER = Signer("simulated", "simulated", "eu-west-1", "aoss")  # as the tests' workers have them
NO_IDS = "Document ID is not supported in create/index operation request"
_LACKING = re.compile(r"^/$|/_refresh|/_forcemerge|/_cluster|/_cat/plugins|/_tasks|/_nodes|/_ilm")
_OWN = ("_id", "version", "version_type", "routing")


@dataclass
class Collection:
    """What it does, and what it saw.

    Args:
        visible_s: Seconds until a search shows what was written.
        behind_s: Seconds until a new index is there.
        unknown: Each so-many-eth bulk request loses its answer, 0 = none: one in three of them was
            not carried out, one was and the connection is cut, one was and answers 503.
        full: Each so-many-eth bulk request is answered 402, 0 = none: its capacity grows.
        kind: The collection's type; `SEARCH` knows no vectors.
    """

    visible_s: int = 10
    behind_s: float = 0.0
    unknown: int = 0
    full: int = 0
    kind: str = "VECTORSEARCH"
    url: str = ""
    seen: Counter[str] = field(default_factory=Counter)
    _made: dict[str, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def options(self, *more: str) -> list[str]:
        """Return the options of a run that writes to it."""
        return [
            "opensearch=aws_serverless", f"opensearch.endpoint={self.url}",
            "opensearch.connection.region=eu-west-1",
            f"opensearch.visible_s={self.visible_s + 3}", *more,
        ]  # fmt: skip

    def fate(self) -> str:
        """Return what becomes of the next bulk request."""
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
        """Whether an index was made so lately that it is not there yet."""
        name = path.lstrip("/").partition("/")[0].partition("?")[0]
        return time.monotonic() - self._made.get(name, -1e9) < self.behind_s

    def note(self, body: dict[str, Any], path: str) -> None:
        """Note when an index was made, under all its names."""
        names = [path.strip("/"), *body.get("aliases", {})]
        self._made |= dict.fromkeys(names, time.monotonic())


@contextmanager
def collection(node: str, made: Collection | None = None) -> Iterator[Collection]:
    """Yield a collection before a node."""
    front = made or Collection()

    class Handler(Forwarding):
        def respond(self, body: bytes) -> Answer | None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            if said := SIGNER.refusal(self.command, self.path, headers, body):
                front.seen["unsigned"] += 1
                return _said(403, {"message": said})
            if _LACKING.search(self.path.partition("?")[0]):
                front.seen["lacking"] += 1
                return Answer(404, b"404 page not found", "text/plain")
            if headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            if "/_bulk" in self.path:
                return self._bulk(body)
            if front.is_behind(self.path):
                return _error(404, "index_not_found_exception", "no such index")
            if self.command == "PUT" and self.path.count("/") == 1:
                return self._create(body)
            return self._forward(body)

        def _create(self, body: bytes) -> Answer:
            wanted = orjson.loads(body)
            settings = wanted["settings"]["index"]
            if front.kind != "VECTORSEARCH":
                said = f"KNN features not supported on {front.kind} collection type"
                return _error(400, "illegal_argument_exception", said)
            if set(settings) != {"knn"}:
                return _error(400, "illegal_argument_exception", f"unknown setting {settings}")
            method = wanted["mappings"]["properties"]["summary_vector"]["method"]
            if method["engine"] != "faiss":
                return _error(400, "illegal_argument_exception", "the engine must be faiss")
            method["engine"] = "lucene"
            settings |= {"refresh_interval": f"{front.visible_s}s", "number_of_replicas": 0}
            answer = self._forward(orjson.dumps(wanted))
            front.note(wanted, self.path)
            return answer

        def _bulk(self, body: bytes) -> Answer | None:
            lines = [orjson.loads(one) for one in body.splitlines() if one]
            actions = [one for one in lines if len(one) == 1 and set(one) & {"index", "create"}]
            if any(set(next(iter(one.values()))) & set(_OWN) for one in actions):
                front.seen["ids"] += 1
                item = {"status": 400, "error": {"type": "illegal_argument_exception"}}
                item["error"] |= {"reason": NO_IDS}  # type: ignore[operator]
                return _said(200, {"items": [{"index": item} for _ in actions]})
            if front.is_behind(self.path):
                return _error(404, "index_not_found_exception", "no such index")
            fate = front.fate() if actions else ""
            if fate == "402":
                return _error(402, "service_quota_exceeded_exception", "maximum OCU capacity")
            answer = self._forward(body) if fate != "lost" else None
            return {"cut": None, "503": Answer(503, b"", "text/html")}.get(fate, answer)

        def _forward(self, body: bytes) -> Answer:
            if "content-encoding" in self.headers:
                del self.headers["content-encoding"]
            return self.forward(body)

    with serving(Handler, node) as port:
        front.url = f"http://127.0.0.1:{port}"
        yield front


def _error(status: int, kind: str, reason: str) -> Answer:
    return _said(status, {"error": {"type": kind, "reason": reason}, "status": status})


def _said(status: int, body: dict[str, Any]) -> Answer:
    return Answer(status, orjson.dumps(body))
