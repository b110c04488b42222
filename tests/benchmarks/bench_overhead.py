"""What the graph itself costs: 20,000 small books, a no-op summarizer, no index."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from processes import environment
from report import Report, say


def main() -> None:
    """Run the job over a folder of small books and divide."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--books", type=int, default=20_000)
    books = parser.parse_args().books
    report = Report("overhead")
    with tempfile.TemporaryDirectory(prefix="raypipe-bench-") as name:
        folder = Path(name)
        write_books(folder / "books", books)
        seconds, record = run(folder)
    assert record["finished"] == books, record
    graph = record["stage_seconds"]["graph"]
    report.at_least("books_per_s", books / graph, 700, "books/s, the graph with its actors' start")
    report.note("books_per_s_whole_command", books / record["seconds"])
    report.note("wall_s", seconds)
    for stage, busy in record["stage_seconds"].items():
        report.note(f"{stage}_s", busy)
    report.finish()


def write_books(folder: Path, books: int) -> None:
    """Write books of about 1 kB, each its own text."""
    folder.mkdir()
    say(f"writing {books:,} books")
    for number in range(books):
        text = f"The small book {number} tells of a lamp, a harbor and the number {number}. " * 14
        (folder / f"Small_{number}__by__Author_{number % 97}.txt").write_text(text)


def run(folder: Path) -> tuple[float, dict[str, object]]:
    """Run the command; returns its wall seconds and its record."""
    began = time.monotonic()
    done = subprocess.run(
        [
            sys.executable, "-m", "raypipe", "run", "storage=local",
            f"storage.path={folder / 'books'}", "summarizer=lead", "embedder=hash",
            "opensearch=none", f"state.uri={folder / 'state'}", "scale=very_large", "output=json",
        ],
        cwd=folder, env=environment(), check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    return time.monotonic() - began, json.loads(done.stdout)


if __name__ == "__main__":
    main()
