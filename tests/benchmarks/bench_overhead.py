"""Rate of a large run of the whole graph into a real index, and of an earlier commit.

    python tests/benchmarks/bench_overhead.py [--books 100000] [--before COMMIT]

Books of 1 kB, a summarizer and an embedder that cost next to nothing. The node is warmed up with
10,000 books. The rate is that of the graph, and of each tenth of the books by the time at which the
index acknowledged them. The earlier commit runs once in the same session, with the same node. The
last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from before import BASELINE, PRESENT, Checkout, check_out
from bench_bulk import node
from report import Report, say

from raypipe.ledger.checkpoint import Checkpoint
from raypipe.state.local import LocalState

WARM_UP_BOOKS = 10_000
TENTHS = 10
REACH_RATE, REACH_TENTH = 1_200, 0.7


def main() -> None:
    """Run the present and the earlier code over the same books."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--books", type=int, default=100_000)
    parser.add_argument("--before", default=BASELINE, help="the commit to compare with")
    options = parser.parse_args()
    report = Report("overhead")
    checkouts = {"now": PRESENT, "before": check_out(options.before)}
    with tempfile.TemporaryDirectory(prefix="raypipe-bench-") as name, node(None) as url:
        folder = Path(name)
        write_books(folder / "warm-up", WARM_UP_BOOKS)
        write_books(folder / "books", options.books)
        run(PRESENT, folder / "warm-up", url)
        rates, tenths = {}, {}
        for kind, checkout in checkouts.items():
            record, tenths[kind] = run(checkout, folder / "books", url)
            assert record["indexed"] == options.books, record
            rates[kind] = options.books / record["stage_seconds"]["graph"]
            say(f"{kind}: {rates[kind]:,.0f} books/s; tenths {[round(x) for x in tenths[kind]]}")
            report.note(f"tenths_{kind}", [round(rate) for rate in tenths[kind]])
            report.note(f"whole_command_{kind}", options.books / record["seconds"])
            if kind == "now":
                report.note("stage_seconds", record["stage_seconds"])
    report.at_least("books_per_s", rates["now"], REACH_RATE, "books/s, the graph")
    report.at_least(
        "slowest_tenth", min(tenths["now"]) / max(tenths["now"]), REACH_TENTH, "x the fastest"
    )
    report.note("books_per_s_before", rates["before"])
    report.note("slowest_tenth_before", min(tenths["before"]) / max(tenths["before"]))
    report.note("ratio_graph", rates["now"] / rates["before"])
    report.finish()


def write_books(folder: Path, books: int) -> None:
    """Write books of about 1 kB, each with its own text."""
    folder.mkdir()
    say(f"writing {books:,} books")
    for number in range(books):
        text = f"The small book {number} tells of a lamp, a harbor and the number {number}. " * 14
        (folder / f"Small_{number}__by__Author_{number % 97}.txt").write_text(text)


def make_command(
    checkout: Checkout, books: Path, url: str, folder: str, *options: str
) -> list[str]:
    """Return a command line that indexes a folder of books without a model, on Ray.

    Args:
        checkout: The code.
        books: The folder.
        url: The node; the books get a new index there.
        folder: Where the state is.
        options: More options.
    """
    return checkout.command(
        "run", "storage=local", f"storage.path={books}", "summarizer=lead", "embedder=hash",
        "opensearch=self_managed", f"opensearch.endpoint={url}",
        f"opensearch.index=bench-{time.time_ns()}", f"state.uri={folder}/state",
        "scale=very_large", "ray.dashboard=false", "output=json", *options,
    )  # fmt: skip


def run(checkout: Checkout, books: Path, url: str) -> tuple[dict[str, Any], list[float]]:
    """Run a checkout's command with a new state and index; return its record and its rates.

    Returns:
        The record, and the books per second of each tenth of the books.
    """
    with tempfile.TemporaryDirectory(dir=books.parent) as here:
        done = subprocess.run(
            make_command(checkout, books, url, here),
            cwd=here, env=checkout.environment(), stdout=subprocess.PIPE, check=True, text=True,
        )  # fmt: skip
        processed = Checkpoint(LocalState(f"{here}/state")).read_latest()
    moments = np.sort(processed["processed_at"].to_numpy())
    ends = moments[np.linspace(0, len(moments) - 1, TENTHS + 1).astype(int)]
    return json.loads(done.stdout), (len(moments) / TENTHS / np.diff(ends)).tolist()


if __name__ == "__main__":
    main()
