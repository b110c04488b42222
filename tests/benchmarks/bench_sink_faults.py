"""The bulk writer where a server refuses at random: what arrives, and what it costs.

    python tests/benchmarks/bench_sink_faults.py [--documents 12000] [--seed 1] [--url URL]

A proxy stands before a real node. It answers 5 % of the documents with 429 without passing them
on, and 1 % of the requests with 503, half of them after the node has done what they asked; one
document in a thousand cannot be mapped. Over 200 bulk requests and more, every other document must
be indexed, and exactly those refused. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import random
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import orjson

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from bench_bulk import CONTENTS, documents, node  # noqa: E402
from report import Report, say  # noqa: E402

from raypipe.opensearch.bulk.results import Rejected, Result  # noqa: E402
from raypipe.opensearch.bulk.writer import BulkWriter  # noqa: E402
from raypipe.opensearch.connection.client import Connection  # noqa: E402
from raypipe.opensearch.index import IndexAlias, IndexConfig  # noqa: E402

BUSY, UNAVAILABLE, UNMAPPABLE = 0.05, 0.01, 1_000
TOO_LARGE = 2**63  # no `long` of OpenSearch
MOST_SENT, MOST_REQUESTS, LEAST_BULKS = 1.08, 1.2, 200
MAX_DOCS = 50


def main() -> None:
    """Write through the proxy, and hold the index against what was sent."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--documents", type=int, default=12_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--url")
    given = parser.parse_args()
    report = Report("sink_faults")
    docs = documents(given.documents, given.seed)
    docs = [
        replace(doc, words=TOO_LARGE) if at % UNMAPPABLE == 7 else doc
        for at, doc in enumerate(docs)
    ]
    bad = {doc.book_id for doc in docs if doc.words == TOO_LARGE}
    with node(given.url) as url, proxy(url, given.seed) as (between, counts):
        config = IndexConfig(Connection(between), index="bench-faults", max_docs=MAX_DOCS)
        index = IndexAlias(config).ensure(CONTENTS)
        writer = BulkWriter(
            index.bulk_target(),
            index.write_strategy(1),
            jitter=lambda attempt: 0.05 * attempt,
        )
        results: list[Result] = [one for batch in writer.write(docs) for one in batch]
        index.refresh()
        there = {one.book_id for one in index.scan()}
        index.connection.ask("DELETE", f"/{index.ref.physical}")
    rejected = {one.doc_id for one in results if isinstance(one, Rejected)}
    ids = {doc.book_id for doc in docs}
    report.at_most("lost", len(ids - bad - there), 0, "documents")
    report.at_most("not_exactly_the_bad_ones_refused", len(rejected ^ bad), 0, "documents")
    report.at_most("settled_more_than_once", len(results) - len(ids), 0, "documents")
    counters = writer.counters
    least = -(-len(docs) // MAX_DOCS)
    report.at_least("bulks", counters.requests, LEAST_BULKS)
    report.at_most("documents_sent", counters.documents / len(docs), MOST_SENT, "x")
    report.at_most("requests", counters.requests / least, MOST_REQUESTS, "x")
    report.note("refused_429", counts["busy"])
    report.note("refused_503", counts["unavailable"])
    report.note("unmappable", len(bad))
    report.finish()


@contextmanager
def proxy(url: str, seed: int) -> Iterator[tuple[str, dict[str, int]]]:
    """Yield the address of a proxy that refuses at random, and what it refused."""
    chance, lock = random.Random(seed), threading.Lock()
    counts = {"busy": 0, "unavailable": 0}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            if "/_bulk" in self.path:
                with lock:
                    fails, late = chance.random() < UNAVAILABLE, chance.random() < 0.5
                if fails:
                    counts["unavailable"] += 1
                    if late:
                        self._passed(body)
                    self._send(503, b'{"error":{"type":"unavailable"}}')
                    return
                self._bulk(body)
                return
            self._send(*self._passed(body))

        do_GET = do_PUT = do_DELETE = do_POST

        def _bulk(self, body: bytes) -> None:
            lines = body.splitlines(keepends=True)
            pairs = list(zip(lines[::2], lines[1::2], strict=True))
            with lock:
                busy = [chance.random() < BUSY for _ in pairs]
            counts["busy"] += sum(busy)
            kept = b"".join(
                line for pair, no in zip(pairs, busy, strict=True) if not no for line in pair
            )
            answered = iter(())
            if kept:
                status, data = self._passed(kept)
                if status != 200:
                    self._send(status, data)
                    return
                answered = iter(orjson.loads(data)["items"])
            items = [
                _refused(pair[0]) if no else next(answered)
                for pair, no in zip(pairs, busy, strict=True)
            ]
            self._send(200, orjson.dumps({"took": 1, "items": items}))

        def _passed(self, body: bytes) -> tuple[int, bytes]:
            headers = {
                name: value
                for name, value in self.headers.items()
                if name.lower() not in ("host", "content-length", "connection")
            }
            asked = urllib.request.Request(
                url + self.path, data=body or None, headers=headers, method=self.command
            )
            try:
                with urllib.request.urlopen(asked, timeout=60) as answer:
                    return answer.status, answer.read()
            except HTTPError as error:
                return error.code, error.read()

        def _send(self, status: int, data: bytes) -> None:
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        say(f"proxy at {server.server_port}")
        try:
            yield f"http://127.0.0.1:{server.server_port}", counts
        finally:
            server.shutdown()


def _refused(action: bytes) -> dict[str, Any]:
    book_id = orjson.loads(action)["index"]["_id"]
    error = {"type": "rejected_execution_exception", "reason": "too busy"}
    return {"index": {"_id": book_id, "status": 429, "error": error}}


if __name__ == "__main__":
    main()
