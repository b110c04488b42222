"""A source that changes: what a second run calls, and what stands in the index after it.

    python tests/benchmarks/bench_source_changes.py [--books 1000] [--kill-after 0.3]

Books are summarized by a model server, one call each, and indexed by a real node. Then 10 % are
changed, 5 % renamed, 4 % removed and 10 % added; a second run is killed (-9, the whole session)
when it has indexed a share of what it has to do, and run again. Model calls are those that the
server answered, but for those that were in flight at the kill; they must be what the changed and
added books take in a fresh build of the same books, in another state and index, which the index is
held against field by field. All lives in a temporary folder and ends with the benchmark. The last
line is one JSON object.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

import simulated  # noqa: E402
from bench_bulk import node  # noqa: E402
from report import Report, say  # noqa: E402

CHANGED, RENAMED, REMOVED, ADDED = 0.10, 0.05, 0.04, 0.10
CHUNK_BYTES = 1_500
_OF_THE_RUN = (
    "book_id", "run_seq", "finished_at", "node_id", "modified",
    "model_calls", "input_tokens", "output_tokens",
)  # fmt: skip
"""Differ between two builds of the same books: where and when it was, and what it had to call."""


def write(folder: Path, name: str, number: int, seed: int = 1) -> None:
    """Write a book of one chapter."""
    simulated.write_books(folder, {name: (number, 1, CHUNK_BYTES)}, seed)


def change(folder: Path, books: int) -> Mapping[str, int]:
    """Let the source live; returns how many books of each kind there are."""
    changed, renamed = round(books * CHANGED), round(books * RENAMED)
    removed, added = round(books * REMOVED), round(books * ADDED)
    for number in range(changed):
        write(folder, f"Book_{number:05d}", number, seed=2)
    for number in range(changed, changed + renamed):
        (folder / f"Book_{number:05d}.txt").rename(folder / f"Renamed_{number:05d}.txt")
    for number in range(changed + renamed, changed + renamed + removed):
        (folder / f"Book_{number:05d}.txt").unlink()
    for number in range(books, books + added):
        write(folder, f"Book_{number:05d}", number)
    return {"changed": changed, "renamed": renamed, "removed": removed, "added": added}


def numbers(books: int, kinds: Mapping[str, int]) -> list[int]:
    """Return the numbers of the changed and the added books."""
    return [*range(kinds["changed"]), *range(books, books + kinds["added"])]


def options(books: Path, state: Path, url: str, index: str) -> list[str]:
    """Return the options of a run."""
    kept = [one for one in simulated.options(books, state) if one != "opensearch=none"]
    return [
        *kept, "storage.name=books", "opensearch=self_managed", f"opensearch.endpoint={url}",
        f"opensearch.index={index}", "opensearch.replicas=0", "quota=none",
    ]  # fmt: skip


def documents(url: str, index: str) -> dict[str, dict[str, Any]]:
    """Return all documents by key."""
    from opensearchpy import OpenSearch

    client = OpenSearch(url, timeout=60)
    client.indices.refresh(index=index)
    hits = client.search(index=index, size=10_000)["hits"]["hits"]
    found = {hit["_source"]["key"]: hit["_source"] for hit in hits}
    assert len(found) == len(hits), "a key stands there twice"
    return found


def unlike(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Return the fields in which two documents differ, but for those of the run."""
    names = [name for name in one if name not in _OF_THE_RUN]
    return [name for name in names if one[name] != other.get(name)]


def count(url: str, index: str) -> int:
    """Return how many documents of a run number above 1 there are."""
    from opensearchpy import OpenSearch

    client = OpenSearch(url, timeout=60)
    client.indices.refresh(index=index)
    wanted = {"query": {"range": {"run_seq": {"gt": 1}}}}
    return int(client.count(index=index, body=wanted)["count"])


def kept(state: Path) -> int:
    """Return how many answers, and calls that were paid for without one, the state knows."""
    return sum(1 for _ in (state / "cache").rglob("*.json"))


def asked(log: Path) -> int:
    """Return how many calls of books the server answered; a run's two checks are none."""
    return len(simulated.of_books(simulated.log_of(log)))


def killed(here: Path, server: simulated.Server, args: list[str], url: str, after: int) -> int:
    """Start a run and kill it; returns all calls of books so far whose answer was not kept then."""
    known = kept(here.parent / "state")
    process = simulated.start(here, server, *args)
    while process.poll() is None and count(url, "changes") < after:
        time.sleep(0.1)
    assert process.poll() is None, "it ended before it could be killed"
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    in_flight = asked(here.parent / "calls.jsonl") - (kept(here.parent / "state") - known)
    return in_flight


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--books", type=int, default=1000)
    parser.add_argument("--kill-after", type=float, default=0.3)
    wanted = parser.parse_args()
    report = Report("source_changes")
    with ExitStack() as stack:
        here = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="raypipe-bench-")))
        url = stack.enter_context(node(None))
        log = here / "calls.jsonl"
        server = stack.enter_context(simulated.server("latency.base_s=0.05", f"log={log}"))
        books = here / "books"
        for number in range(wanted.books):
            write(books, f"Book_{number:05d}", number)
        args = options(books, here / "state", url, "changes")
        first = simulated.run(here / "run", server, *args)
        report.note("books", first["indexed"])
        first_calls = asked(log)
        report.note("first_calls", first_calls)
        kinds = change(books, wanted.books)
        for name, number in kinds.items():
            report.note(name, number)
        told = simulated.run(
            here / "run", server, *[a for a in args if not a.startswith("ray.")], command="plan"
        )
        todo = kinds["changed"] + kinds["added"]
        after = round(wanted.kill_after * (todo + kinds["renamed"]))
        in_flight = killed(here / "run", server, args, url, after) - first_calls
        record = simulated.run(here / "run", server, *args)
        calls = asked(log) - first_calls
        report.note("calls", calls)
        report.note("calls_in_flight_at_the_kill", in_flight)
        report.at_most(
            "deleted_otherwise", abs(record["removed"] - kinds["removed"] - kinds["renamed"]), 0
        )
        off = sum(abs(told[kind if kind != "added" else "new"] - kinds[kind]) for kind in kinds)
        report.at_most("plan_says_otherwise", off, 0)
        simulated.run(here / "fresh", server, *options(books, here / "anew", url, "fresh"))
        have, need = documents(url, "changes"), documents(url, "fresh")
        report.note("documents", len(need))
        report.at_most("missing", len(need.keys() - have.keys()), 0)
        report.at_most("too_many", len(have.keys() - need.keys()), 0)
        other = [key for key in need.keys() & have.keys() if unlike(need[key], have[key])]
        for key in other[:3]:
            say(f"{key}: {unlike(need[key], have[key])}")
        fresh = {f"Book_{number:05d}.txt" for number in numbers(wanted.books, kinds)}
        due = sum(int(need[key]["model_calls"]) for key in fresh)
        report.note("calls_of_changed_and_added", due)
        report.at_most("calls_too_many", max(0, calls - in_flight - due), 0)
        report.at_most("calls_too_few", max(0, due - calls), 0)
        report.at_most("unlike", len(other), 0)
    report.finish()


if __name__ == "__main__":
    main()
