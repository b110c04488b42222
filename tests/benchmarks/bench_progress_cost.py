"""Cost of progress and metrics: 20,000 small books with them and without them, in turns."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench_overhead import WARM_UP_BOOKS, write_books
from report import ROOT, Report, say

WITHOUT = """
from raypipe.cli.app import main
from raypipe.coordination import progress
progress._Watcher.show = lambda self, counts, *, ended=False: None  # no forecast, meter or view
main()
"""
"""Runs a command that shows and writes no progress; it still looks for a reason to stop."""
KINDS = {
    "without": ([sys.executable, "-c", WITHOUT], ()),
    "with": ([sys.executable, "-m", "raypipe"], ("ray.metrics_port=0",)),
}
"""The program and the options of each kind of run."""


def main() -> None:
    """Run both kinds in turns over the same books, and divide the seconds of their graphs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--books", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=8, help="runs of either kind")
    options = parser.parse_args()
    report = Report("progress_cost")
    seconds: dict[str, list[float]] = {kind: [] for kind in KINDS}
    whole: dict[str, list[float]] = {kind: [] for kind in KINDS}
    with tempfile.TemporaryDirectory(prefix="raypipe-bench-") as name:
        folder = Path(name)
        write_books(folder / "warm-up", WARM_UP_BOOKS)
        write_books(folder / "books", options.books)
        for kind in KINDS:
            run(kind, folder / "warm-up")
        for number in range(options.rounds):
            # Every second round begins with the other kind, so that a drift of the machine's
            # speed favors neither.
            for kind in list(KINDS)[:: -1 if number % 2 else 1]:
                wall_s, record = run(kind, folder / "books")
                assert record["finished"] == options.books, record
                seconds[kind].append(record["stage_seconds"]["graph"])
                whole[kind].append(wall_s)
                say(f"round {number + 1} {kind}: {seconds[kind][-1]:.2f} s, whole {wall_s:.2f} s")
    ratios = [each / other for each, other in zip(seconds["with"], seconds["without"], strict=True)]
    report.at_most(
        "cost_of_progress_and_metrics",
        statistics.median(ratios) - 1,
        0.03,
        f"share of the graph's seconds, median of {options.rounds} rounds",
    )
    report.note("smallest", min(ratios) - 1)
    report.note("largest", max(ratios) - 1)
    for kind in KINDS:
        report.note(f"graph_s_{kind}", statistics.median(seconds[kind]))
        report.note(f"whole_command_s_{kind}", statistics.median(whole[kind]))
    report.finish()


def run(kind: str, books: Path) -> tuple[float, dict[str, Any]]:
    """Run a kind of command with a new state; return its wall seconds and its record."""
    program, more = KINDS[kind]
    began = time.monotonic()
    with tempfile.TemporaryDirectory(dir=books.parent) as state:
        result = subprocess.run(
            [
                *program, "run", "storage=local", f"storage.path={books}", "summarizer=lead",
                "embedder=hash", "opensearch=none", f"state.uri={state}", "scale=very_large",
                "output=json", *more,
            ],
            cwd=books.parent, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True,
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
    return time.monotonic() - began, json.loads(result.stdout)


if __name__ == "__main__":
    main()
