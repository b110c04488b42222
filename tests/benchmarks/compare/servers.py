"""The OpenSearch node and the model server that all contenders use."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from report import say
from simulated import Server, log_of, of_books, server

from raypipe.embedded.services import Services
from tests.benchmarks.compare.books import MARKER, find_numbers

CALL_S = 0.2
IN_FLIGHT = 16
INDEX = "compare"
ATTEMPTS = 6
BUSY = (429, 503)
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass
class Servers:
    """The running servers, and what they counted.

    Args:
        opensearch: URL of the node.
        models: The model server.
        log: Its log, a JSON line for each call.
    """

    opensearch: str
    models: Server
    log: Path
    _calls_before: int = field(default=0, init=False)

    def forget_calls(self) -> None:
        """Leave the calls up to now out of `read_calls` and `count_answered`."""
        self.models.reset()
        self._calls_before = len(log_of(self.log))

    def read_calls(self) -> list[dict[str, Any]]:
        """Return the calls about books since `forget_calls`."""
        return of_books(log_of(self.log)[self._calls_before :])

    def count_answered(self) -> int:
        """Return the number of answers since `forget_calls`."""
        return int(self.models.stats()["answered"])

    def refuse_marked_books(self, is_on: bool) -> None:
        """Answer each call about a book with the marker with status 400, or stop doing so."""
        step = {"fault": "too_long", "contains": MARKER, "times": 1_000_000}
        self.models.control(faults={"script": [step] if is_on else []})

    def count_bulk_requests(self) -> int:
        """Return the number of bulk requests that the node has finished, by its own counter.

        An index of a contender has one shard, so that a bulk request is one task of the pool.
        """
        stats = self._ask("GET", "/_nodes/stats/thread_pool")
        pools = (node["thread_pool"]["write"] for node in stats["nodes"].values())
        return sum(int(pool["completed"]) for pool in pools)

    def count_documents(self) -> int:
        """Return the number of documents in the index of the contender; 0 if there is none."""
        self._ask("POST", f"/{INDEX}*/_refresh")
        return int(self._ask("GET", f"/{INDEX}*/_count")["count"])

    def find_books(self, most: int = 1_000) -> set[int]:
        """Return the numbers of the books in the index, found by the names of their files."""
        self._ask("POST", f"/{INDEX}*/_refresh")
        found = self._ask("GET", f"/{INDEX}*/_search?size={most}")
        return find_numbers(json.dumps(hit["_source"]) for hit in found["hits"]["hits"])

    def delete_indices(self) -> None:
        """Delete the index of the contender that ran last."""
        self._ask("DELETE", f"/{INDEX}*")

    def _ask(self, method: str, path: str) -> dict[str, Any]:
        """Return the answer of the node, which may be busy after a program was killed.

        Raises:
            RuntimeError: It answers with an error, also after `ATTEMPTS`.
        """
        request = urllib.request.Request(self.opensearch + path, method=method)
        for attempt in range(ATTEMPTS):
            try:
                with _opener.open(request, timeout=120) as answer:
                    found: dict[str, Any] = json.load(answer)
                return found
            except urllib.error.HTTPError as error:
                problem = f"{method} {path}: {error.code} {error.read(500)!r}"
                if error.code not in BUSY:
                    break
                say(problem)
                time.sleep(attempt + 1)
        raise RuntimeError(problem)


@contextmanager
def start_servers(folder: Path) -> Iterator[Servers]:
    """Start the node and the model server on free ports of this machine; stop them afterwards.

    The model server answers `IN_FLIGHT` calls at a time and takes `CALL_S` seconds for each;
    further calls wait. No contender can be faster by having more calls in flight.

    Args:
        folder: Folder for their data.
    """
    log = folder / "calls.jsonl"
    log.touch()
    options = [
        f"latency.base_s={CALL_S}", "latency.sigma=0", f"log={log}",
        f"concurrency.limit={IN_FLIGHT}", "concurrency.over_limit=queue",
    ]  # fmt: skip
    with Services(folder / "node") as services, server(*options) as models:
        yield Servers(services.start_opensearch(), models, log)
