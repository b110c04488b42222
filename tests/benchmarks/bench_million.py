"""A run with nothing to do over a million processed keys: the whole command, its time and memory.

    python tests/benchmarks/bench_million.py [--pages 1000] [--rounds 3] [--url URL]

A stub serves pages of 1,000 keys that are ready. One book is processed; then the rows of all others
are written into the ledger, as processed and as finished documents in compacted parts of 50,000,
the last 100,000 of them in fresh parts of 50, and their ids into the index. The memory is the
largest resident memory of the command's process. The planning is reported separately: it finds
deleted books, loads what is processed and finished, and takes it away from the listing.
The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
from bench_bulk import node
from bench_listing import KEYS_PER_PAGE, key, size, stub
from processes import environment
from report import Report, say

from raypipe.core.book import book_id
from raypipe.ledger.checkpoint import PROCESSED_SCHEMA, Checkpoint
from raypipe.ledger.document_store import DocumentStore
from raypipe.state.local import LocalState

REACH_S, REACH_MB = 25, 800
REACH_PLANNING_S = 8
_ROWS_OF_A_PART = 50_000
_ROWS_OF_A_FRESH_PART, _FRESH_PARTS = 50, 2_000
_DOCUMENTS_OF_A_REQUEST = 10_000


def main() -> None:
    """Write the ledger and the index, run the command, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pages", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--url", help="a node that runs already")
    options = parser.parse_args()
    keys = options.pages * KEYS_PER_PAGE
    report = Report("million")
    with tempfile.TemporaryDirectory(prefix="raypipe-bench-") as name, node(options.url) as url:
        folder = Path(name)
        with stub(1) as s3:
            first = run(arguments(folder, s3, url, "limit=1"), folder)[0]
            assert first["indexed"] == 1, first
        say("writing the ledger")
        write_ledger(folder / "state", keys)
        say("writing the index")
        write_index(f"{url}/{first['index']}", first["run_seq"], keys)
        with stub(options.pages) as s3:
            seconds, megabytes, planning = [], [], []
            for _ in range(options.rounds):
                record, taken, memory = run(arguments(folder, s3, url), folder)
                assert (record["listed"], record["skipped"]) == (keys, keys), record
                seconds.append(taken)
                megabytes.append(memory)
                planning.append(record["stage_seconds"]["planning"])
                say(f"{taken:.1f} s, {memory:.0f} MB: {record['stage_seconds']}")
        urllib.request.urlopen(urllib.request.Request(f"{url}/{first['index']}", method="DELETE"))
    report.at_most("nothing_to_do_s", statistics.median(seconds), REACH_S, "s, median")
    report.at_most("peak_memory", max(megabytes), REACH_MB, "MB")
    report.at_most("planning_s", max(planning), REACH_PLANNING_S, "s, the slowest")
    report.note("seconds", [round(value, 2) for value in seconds])
    report.note("stage_seconds", record["stage_seconds"])
    report.note("keys", keys)
    report.finish()


def arguments(folder: Path, s3: str, url: str, *more: str) -> list[str]:
    """Return the command line of a run."""
    return [
        sys.executable, "-m", "raypipe", "run", "storage=s3", "storage.bucket=books",
        f"storage.endpoint_url={s3}", "storage.anonymous=true", "summarizer=lead", "embedder=hash",
        "executor=local", f"state.uri={folder / 'state'}", "opensearch=self_managed",
        f"opensearch.endpoint={url}", "opensearch.index=bench-million", "output=json", *more,
    ]  # fmt: skip


def run(command: list[str], folder: Path) -> tuple[dict[str, Any], float, float]:
    """Run a command; return its record, its seconds, and its peak memory in MB."""
    began = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=folder, env=environment(), stdout=subprocess.PIPE, text=True
    )
    out: list[str] = []
    assert process.stdout is not None
    reader = threading.Thread(target=lambda: out.append(process.stdout.read()))  # type: ignore[union-attr]
    reader.start()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    reader.join()
    process.stdout.close()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"exit {process.returncode}: {out[0][-2000:]}")
    return json.loads(out[0]), seconds, usage.ru_maxrss / 1e3


def write_ledger(state: Path, keys: int) -> None:
    """Add all books but the first, which a run has processed, to the ledger of that run."""
    local = LocalState(str(state))
    processed = Checkpoint(local).read_latest().to_pylist()[0]
    store = DocumentStore(local)
    documents = store.table(processed["recipe"])
    document = documents.read().to_pylist()[0]
    template = {**document, "summary": "A short summary.", "sections": [], "keywords": []}
    fresh = max(keys - _ROWS_OF_A_FRESH_PART * _FRESH_PARTS, 1)
    parts = [
        *(range(start, min(start + _ROWS_OF_A_PART, fresh))
          for start in range(1, fresh, _ROWS_OF_A_PART)),
        *(range(start, min(start + _ROWS_OF_A_FRESH_PART, keys))
          for start in range(fresh, keys, _ROWS_OF_A_FRESH_PART)),
    ]  # fmt: skip
    for numbers in parts:
        own = {
            "book_id": [_id(number) for number in numbers],
            "key": [key(number) for number in numbers],
            "etag": [f"{number:032x}" for number in numbers],
            "size": [size(number) for number in numbers],
            "text_sha256": [_id(-number) for number in numbers],
        }
        Checkpoint(local)._table().write(
            _repeat(processed, own, PROCESSED_SCHEMA), processed["run_seq"], "c", numbers.start
        )
        documents.write(
            _repeat(template, own, documents.schema.columns),
            processed["run_seq"],
            "c",
            numbers.start,
        )


def _repeat(row: dict[str, Any], own: dict[str, list[Any]], schema: pa.Schema) -> pa.Table:
    """Return rows that differ in some columns."""
    rows = len(own["book_id"])
    return pa.table(
        {
            field.name: pa.array(own[field.name], field.type)
            if field.name in own
            else pa.array([row[field.name]], field.type).take(pa.array([0] * rows))
            for field in schema
        },
        schema=schema,
    )


def write_index(url: str, run_seq: int, keys: int) -> None:
    """Add a document with an id and the number of the run for each book but the first."""

    def write(start: int) -> None:
        lines = "".join(
            f'{{"create":{{"_id":"{_id(number)}"}}}}\n{{"run_seq":{run_seq}}}\n'
            for number in range(start, min(start + _DOCUMENTS_OF_A_REQUEST, keys))
        )
        headers = {"Content-Type": "application/x-ndjson"}
        request = urllib.request.Request(f"{url}/_bulk", lines.encode(), headers)
        with urllib.request.urlopen(request) as answer:
            assert not json.load(answer)["errors"]

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, range(1, keys, _DOCUMENTS_OF_A_REQUEST)))
    with urllib.request.urlopen(urllib.request.Request(f"{url}/_refresh", method="POST")):
        pass


def _id(number: int) -> str:
    return book_id("s3://books", key(number))


if __name__ == "__main__":
    main()
