"""A million processed ids: what it takes to load them and take them away from a listing.

    python tests/benchmarks/bench_ledger_size.py [--ids 1000000] [--parts 2000]

The ids stand in one compacted file but for those of 2,000 fresh parts of 50; as many books are
listed, one in a hundred of them changed. In a process of its own, so that its peak memory is its
alone. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from report import Report, say  # noqa: E402

from raypipe.core.book import Book  # noqa: E402
from raypipe.ledger.checkpoint import Checkpoint, Processed  # noqa: E402
from raypipe.run.planner import LedgerSnapshot, plan_run  # noqa: E402
from raypipe.state.local import LocalState  # noqa: E402

GENERATION, RECIPE = "0" * 32, "1" * 16
OF_A_PART, CHANGED = 50, 100
REACH_S, REACH_MB = 6.0, 800


def main() -> None:
    """Measure and print; with `--measure`, be the process that is measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ids", type=int, default=1_000_000)
    parser.add_argument("--parts", type=int, default=2_000)
    parser.add_argument("--measure")
    given = parser.parse_args()
    if given.measure:
        print(json.dumps(measure(given.measure, given.ids)))
        return
    report = Report("ledger_size")
    with tempfile.TemporaryDirectory(prefix="raypipe-bench-") as folder:
        say("writing the parts")
        write(folder, given.ids, given.parts)
        command = [sys.executable, __file__, f"--ids={given.ids}", f"--measure={folder}"]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
        found = json.loads(done.stdout)
    assert found["new"] == given.ids // CHANGED, found
    report.at_most("load_and_anti_join", found["seconds"], REACH_S, "s")
    report.at_most("peak_memory", found["peak_mb"] - found["listing_mb"], REACH_MB, "MB")
    report.note("seconds_of_the_load", found["load_s"])
    report.note("memory_of_the_listing_mb", found["listing_mb"])
    report.finish()


def write(folder: str, ids: int, parts: int) -> None:
    """Write the checkpoint: one compacted file, and fresh parts."""
    checkpoint = Checkpoint(LocalState(folder))
    fresh = parts * OF_A_PART
    for start in range(0, ids - fresh, 100_000):
        rows = [_row(n) for n in range(start, min(start + 100_000, ids - fresh))]
        checkpoint.append(rows, 1, start, 0)
    checkpoint.compact(2)
    for part in range(parts):
        start = ids - fresh + part * OF_A_PART
        checkpoint.append([_row(n) for n in range(start, start + OF_A_PART)], 2, part, 0)


def measure(folder: str, ids: int) -> dict[str, float]:
    """Load the ledger and plan a listing."""
    books = list(listing(ids))  # what a listing takes is measured elsewhere
    before = _peak_mb()
    began = time.perf_counter()
    processed = Checkpoint(LocalState(folder)).processed_versions(GENERATION, {RECIPE})
    loaded = time.perf_counter()
    found = plan_run(books, LedgerSnapshot(processed=processed))
    ended = time.perf_counter()
    assert len(found.processed) + len(found.new) == ids
    return {
        "seconds": ended - began,
        "load_s": loaded - began,
        "new": len(found.new),
        "peak_mb": _peak_mb(),
        "listing_mb": before,
    }


def listing(ids: int) -> Iterator[Book]:
    """Yield the books, one in a hundred of them changed."""
    for n in range(ids):
        etag = f"{n:032x}" if n % CHANGED else f"new-{n:028x}"
        yield Book(_id(n), f"shelf/{n}.txt", etag, 1_000, 1.7e9)


def _id(n: int) -> str:
    return hashlib.sha256(str(n).encode()).hexdigest()


def _row(n: int) -> Processed:
    return Processed(_id(n), f"{n:032x}", RECIPE, "books-1", GENERATION, 1, 1.7e9)


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


if __name__ == "__main__":
    main()
