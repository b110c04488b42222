"""How long after a book is finished a search finds it, on an index that is served.

    python tests/benchmarks/bench_searchable.py [--books 400]

A first run makes the index and serves it. A second run adds books that each need a call of 0.3 s,
16 at a time, and writes into the served index, whose `refresh_interval` is 1 s. Meanwhile a search
ten times a second notes when each document is found first. The time of a book goes from
`finished_at` in its document to that search. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
from before import PRESENT
from bench_bulk import node
from bench_overhead import write_books
from report import Report, say
from simulated import server

INDEX = "bench-searchable"
POLL_S = 0.1
REACH_P99_S = 10.0


def main() -> None:
    """Serve an index, add books, and watch searches."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--books", type=int, default=400)
    options = parser.parse_args()
    report = Report("searchable")
    with (
        tempfile.TemporaryDirectory(prefix="raypipe-bench-") as name,
        node(None) as url,
        server("latency.base_s=0.3", "latency.sigma=0") as models,
    ):
        folder = Path(name)
        write_books(folder / "books", 20)
        command = PRESENT.command(
            "run", "storage=local", f"storage.path={folder / 'books'}", "summarizer=bedrock",
            "quota.max_in_flight=16", "embedder=hash", "opensearch=self_managed",
            f"opensearch.endpoint={url}", f"opensearch.index={INDEX}",
            f"state.uri={folder / 'state'}", "scale=medium", "ray.dashboard=false", "output=json",
        )  # fmt: skip
        environment = models.environment()
        subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
        settings = {"index": {"refresh_interval": "1s"}}
        ask(f"{url}/{INDEX}/_settings", settings, "PUT")
        write_more_books(folder / "books", options.books)
        over, found = threading.Event(), {}
        watcher = threading.Thread(target=watch, args=(url, over, found), daemon=True)
        watcher.start()
        subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
        over.set()
        watcher.join()
        seconds = np.array(list(found.values()))
    say(f"{len(seconds)} books; the slowest {np.sort(seconds)[-5:].round(2)}")
    report.at_least("books_found", len(seconds), options.books, "books")
    report.note("p50_s", float(np.percentile(seconds, 50)))
    report.at_most("p99_s", float(np.percentile(seconds, 99)), REACH_P99_S, "s")
    report.finish()


def write_more_books(folder: Path, books: int) -> None:
    """Add books that the first run did not have."""
    for number in range(books):
        text = f"The later book {number} tells of a boat, a mountain and the number {number}. " * 14
        (folder / f"Later_{number}__by__Author_{number % 97}.txt").write_text(text)


def watch(url: str, over: threading.Event, found: dict[str, float]) -> None:
    """Note how long after its end each new book is found first."""
    query = {
        "size": 10_000, "query": {"range": {"run_seq": {"gt": 1}}},
        "_source": False, "docvalue_fields": [{"field": "finished_at", "format": "epoch_millis"}],
    }  # fmt: skip
    while not over.wait(POLL_S):
        hits = ask(f"{url}/{INDEX}/_search", query)["hits"]["hits"]
        now = time.time()
        for hit in hits:
            finished = int(hit["fields"]["finished_at"][0]) / 1000
            found.setdefault(hit["_id"], now - finished)


def ask(url: str, body: dict[str, Any], method: str = "POST") -> Any:
    """Send JSON and return the answer."""
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers, method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


if __name__ == "__main__":
    main()
