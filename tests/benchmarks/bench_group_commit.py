"""Requests and files a book, and wall time, of whole runs into a real index: before and now.

    python tests/benchmarks/bench_group_commit.py [--books 20000] [--rounds 1] [--before 3c73c8f]

Three kinds of runs go through the whole command, each into a node that the benchmark starts:

- `models`: 200 books with one call of 0.3 s each, 16 calls in flight;
- `small`: books of 1 kB with a summarizer that computes, at `scale=small`;
- `very_large`: the same books at `scale=very_large`.

Both codes take turns. Bulk requests are the node's own count: each is one task of its write
thread pool, as an index has one shard. Files are the names seen in `documents`, `processed` and
`failures` of the state, listed four times a second: a name never comes twice. The last line is
one JSON object.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from before import BASELINE, PRESENT, Checkout, check_out
from bench_bulk import node
from bench_overhead import write_books
from report import Report, say
from simulated import Server, server

FOLDERS = ("documents", "processed", "failures")
MODEL_BOOKS = 200
WARM_UP_BOOKS = 200


@dataclass(frozen=True)
class Measured:
    """What a run took.

    Args:
        seconds: Wall time of the command.
        graph_s: Wall time of the graph, with the start of its actors.
        requests: Bulk requests that the node executed.
        files: Parts that were written.
        books: Documents indexed.
    """

    seconds: float
    graph_s: float
    requests: int
    files: int
    books: int


def main() -> None:
    """Run both codes in turns and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--books", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=1, help="runs of either code")
    parser.add_argument("--before", default=BASELINE, help="the commit to compare with")
    parser.add_argument("--only", default="models,small,very_large")
    options = parser.parse_args()
    kinds = options.only.split(",")
    report = Report("group_commit")
    checkouts = {"before": check_out(options.before), "now": PRESENT}
    with tempfile.TemporaryDirectory(prefix="raypipe-bench-") as name, node(None) as url:
        folder = Path(name)
        write_books(folder / "warm-up", WARM_UP_BOOKS)
        for checkout in checkouts.values():
            measure(checkout, url, folder, "warm-up", "scale=medium")
        if "models" in kinds:
            write_books(folder / "models", MODEL_BOOKS)
            measure_models(report, checkouts, url, folder)
        if "small" in kinds or "very_large" in kinds:
            write_books(folder / "books", options.books)
        for scale in ("small", "very_large"):
            if scale in kinds:
                measure_scale(report, checkouts, url, folder, scale, options.rounds)
    report.finish()


def measure_models(report: Report, checkouts: dict[str, Checkout], url: str, folder: Path) -> None:
    """Run books that each need a call, and record the requests and files of a book."""
    with server("latency.base_s=0.3", "latency.sigma=0") as models:
        for name, checkout in checkouts.items():
            run = measure(
                checkout, url, folder, "models", "scale=medium", "summarizer=bedrock",
                "quota.max_in_flight=16", models=models,
            )  # fmt: skip
            requests, files = run.requests / run.books, run.files / run.books
            say(f"models {name}: {run}")
            if name == "before":
                report.note("requests_a_document_models_before", requests)
                report.note("files_a_book_models_before", files)
                report.note("seconds_models_before", run.seconds)
            else:
                report.at_most("requests_a_document_models", requests, 0.05)
                report.at_most("files_a_book_models", files, 0.1)
                report.note("seconds_models", run.seconds)


def measure_scale(
    report: Report,
    checkouts: dict[str, Checkout],
    url: str,
    folder: Path,
    scale: str,
    rounds: int,
) -> None:
    """Run many small books at a preset, and record wall time, requests and files."""
    runs: dict[str, list[Measured]] = {name: [] for name in checkouts}
    for number in range(rounds):
        order = list(checkouts)[:: -1 if number % 2 else 1]
        for name in order:
            runs[name].append(measure(checkouts[name], url, folder, "books", f"scale={scale}"))
            say(f"{scale} {name}: {runs[name][-1]}")
    for name in checkouts:
        for field in ("requests", "files"):
            ratios = [getattr(run, field) / run.books for run in runs[name]]
            report.note(f"{field}_a_book_{scale}_{name}", max(ratios))
        report.note(f"seconds_{scale}_{name}", statistics.median(r.seconds for r in runs[name]))
        report.note(f"graph_s_{scale}_{name}", statistics.median(r.graph_s for r in runs[name]))
    if scale == "small":
        now = runs["now"]
        report.at_most("requests_a_document_small", max(r.requests / r.books for r in now), 0.005)
        report.at_most("files_a_book_small", max(r.files / r.books for r in now), 0.01)
    ratios = [a.seconds / b.seconds for a, b in zip(runs["now"], runs["before"], strict=True)]
    reach = {"small": 0.67, "very_large": 0.95}[scale]
    report.at_most(f"wall_{scale}", statistics.median(ratios), reach, f"x {BASELINE}")


def measure(
    checkout: Checkout,
    url: str,
    folder: Path,
    books: str,
    *options: str,
    models: Server | None = None,
) -> Measured:
    """Run the command over a folder of books into a new index; return what it took."""
    with tempfile.TemporaryDirectory(dir=folder) as here:
        state = Path(here) / "state"
        arguments = [
            "storage=local", f"storage.path={folder / books}", f"state.uri={state}",
            "embedder=wordllama", "opensearch=self_managed", f"opensearch.endpoint={url}",
            f"opensearch.index=bench-{time.time_ns()}", "ray.dashboard=false", "output=json",
            *options,
        ]  # fmt: skip
        environment = checkout.environment()
        if models is not None:
            environment = models.environment(**{"PYTHONPATH": str(checkout.root)})
        requests = bulk_requests(url)
        started = time.monotonic()
        with seen_files(state) as files:
            done = subprocess.run(
                checkout.command("run", *arguments),
                cwd=here, env=environment, stdout=subprocess.PIPE, check=True, text=True,
            )  # fmt: skip
        seconds = time.monotonic() - started
        record: dict[str, Any] = json.loads(done.stdout)
    graph_s = record["stage_seconds"]["graph"]
    written = bulk_requests(url) - requests
    return Measured(seconds, graph_s, written, len(files), record["indexed"])


def bulk_requests(url: str) -> int:
    """Return how many bulk requests the node has executed."""
    with urllib.request.urlopen(f"{url}/_nodes/stats/thread_pool", timeout=60) as answer:
        nodes = json.load(answer)["nodes"]
    return sum(int(each["thread_pool"]["write"]["completed"]) for each in nodes.values())


@contextmanager
def seen_files(state: Path) -> Iterator[set[Path]]:
    """Collect the names of all parts that are written while the block runs."""
    seen: set[Path] = set()
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.25):
            look()

    def look() -> None:
        for folder in FOLDERS:
            seen.update(path for path in (state / folder).rglob("part-*.parquet"))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()
        look()


if __name__ == "__main__":
    main()
