"""100,000 blocks of one book, as models make them, through the whole graph into a real index.

    python tests/benchmarks/bench_blocks.py [--books 100000] [--few 10000]

No model is called: the books cost what Ray, the sink and the index cost. The first run has few
books, the second many, each into a new index. The seconds a book are those of the graph. The
memory is the largest resident memory of the driver's process. This benchmark takes longer than
10 minutes. The last line is one JSON object.
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

import psutil
from before import PRESENT
from bench_bulk import node
from bench_overhead import make_command, write_books
from report import Report, say

REACH_RATIO = 1.1
REACH_DRIVER_GB = 1.0


def main() -> None:
    """Run with few books and with many, and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--books", type=int, default=100_000)
    parser.add_argument("--few", type=int, default=10_000)
    options = parser.parse_args()
    report = Report("blocks")
    with tempfile.TemporaryDirectory(prefix="raypipe-bench-") as name, node(None) as url:
        folder = Path(name)
        write_books(folder / "few", options.few)
        few, few_gb = run(folder / "few", url)
        check_all(report, few, url, options.few, "few")
        write_books(folder / "many", options.books)
        many, many_gb = run(folder / "many", url)
        check_all(report, many, url, options.books, "many")
    per_book = {
        "few": few["stage_seconds"]["graph"] / options.few,
        "many": many["stage_seconds"]["graph"] / options.books,
    }
    for kind, seconds in per_book.items():
        report.note(f"blocks_per_s_{kind}", 1 / seconds)
    report.note("driver_gb_few", few_gb)
    report.at_most("seconds_a_book_ratio", per_book["many"] / per_book["few"], REACH_RATIO)
    report.at_most("driver_gb", many_gb, REACH_DRIVER_GB, "GB")
    report.finish()


def run(books: Path, url: str) -> tuple[dict[str, Any], float]:
    """Run the command over a folder; return its record and the driver's memory in GB."""
    with tempfile.TemporaryDirectory(dir=books.parent) as here:
        command = make_command(PRESENT, books, url, here, "stages.summarize.books_per_task=1")
        process = subprocess.Popen(
            command, cwd=here, env=PRESENT.environment(), stdout=subprocess.PIPE, text=True
        )
        peak = [0.0]
        sampler = threading.Thread(target=sample, args=(process.pid, peak), daemon=True)
        sampler.start()
        out, _ = process.communicate()
        sampler.join()
        if process.returncode:
            raise RuntimeError(f"exit {process.returncode}: {out[-2000:]}")
        record: dict[str, Any] = json.loads(out)
        return record, peak[0]


def sample(pid: int, peak: list[float]) -> None:
    """Keep the largest resident memory of a process in GB, until it ends."""
    try:
        process = psutil.Process(pid)
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            peak[0] = max(peak[0], process.memory_info().rss / 1e9)
            time.sleep(1)
    except psutil.NoSuchProcess:
        pass


def check_all(report: Report, record: dict[str, Any], url: str, books: int, kind: str) -> None:
    """Record whether each book is in the index."""
    with urllib.request.urlopen(f"{url}/{record['index']}/_count", timeout=60) as answer:
        indexed = json.load(answer)["count"]
    say(f"{kind}: {record['stage_seconds']}, {record['indexed']} recorded, {indexed} in the index")
    report.at_least(f"indexed_{kind}", min(indexed, record["indexed"]), books, "books")


if __name__ == "__main__":
    main()
