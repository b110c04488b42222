"""Cost of the graph itself, and against an earlier commit: small books, a cheap summarizer."""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from before import BASELINE, PRESENT, Checkout, check_out
from report import Report, say

WARM_UP_BOOKS = 200


def main() -> None:
    """Run the present and the earlier code in turns over the same books and divide the rates."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--books", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3, help="runs of either code")
    parser.add_argument("--before", default=BASELINE, help="the commit to compare with")
    options = parser.parse_args()
    report = Report("overhead")
    checkouts = {"before": check_out(options.before), "now": PRESENT}
    rates: dict[str, list[float]] = {name: [] for name in checkouts}
    with tempfile.TemporaryDirectory(prefix="raypipe-bench-") as name:
        folder = Path(name)
        write_books(folder / "warm-up", WARM_UP_BOOKS)
        write_books(folder / "books", options.books)
        for checkout in checkouts.values():  # reads its files and those of Ray from the disk
            run(checkout, folder / "warm-up")
        for number in range(options.rounds):
            # Every second round begins with the present code, so that a drift of the machine's
            # speed favors neither.
            order = list(checkouts)[:: -1 if number % 2 else 1]
            for name in order:
                seconds, record = run(checkouts[name], folder / "books")
                assert record["finished"] == options.books, record
                rates[name].append(options.books / record["stage_seconds"]["graph"])
                say(f"round {number + 1} {name}: {rates[name][-1]:,.0f} books/s of the graph")
                if name == "now":
                    present_seconds, present = seconds, record
    ratios = [now / before for now, before in zip(rates["now"], rates["before"], strict=True)]
    report.at_least(
        "books_per_s",
        statistics.median(rates["now"]),
        700,
        "books/s, the graph with its actors' start",
    )
    report.at_least(
        "ratio_graph",
        statistics.median(ratios),
        0.98,
        f"times the books/s of {options.before}, median of {options.rounds} rounds",
    )
    report.note("books_per_s_before", statistics.median(rates["before"]))
    report.note("ratio_graph_smallest", min(ratios))
    report.note("ratio_graph_largest", max(ratios))
    report.note("rounds", options.rounds)
    report.note("books_per_s_whole_command", options.books / present["seconds"])
    report.note("wall_s", present_seconds)
    for stage, busy in present["stage_seconds"].items():
        report.note(f"{stage}_s", busy)
    report.finish()


def write_books(folder: Path, books: int) -> None:
    """Write books of about 1 kB, each with its own text."""
    folder.mkdir()
    say(f"writing {books:,} books")
    for number in range(books):
        text = f"The small book {number} tells of a lamp, a harbor and the number {number}. " * 14
        (folder / f"Small_{number}__by__Author_{number % 97}.txt").write_text(text)


def run(checkout: Checkout, books: Path) -> tuple[float, dict[str, Any]]:
    """Run a checkout's command with a new state; return its wall seconds and its record."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(dir=books.parent) as state:
        result = subprocess.run(
            checkout.command(
                "run", "storage=local", f"storage.path={books}", "summarizer=lead",
                "embedder=hash", "opensearch=none", f"state.uri={state}", "scale=very_large",
                "output=json",
            ),
            cwd=books.parent, env=checkout.environment(), check=True, stdout=subprocess.PIPE,
            text=True,
        )  # fmt: skip
    return time.monotonic() - began, json.loads(result.stdout)


if __name__ == "__main__":
    main()
