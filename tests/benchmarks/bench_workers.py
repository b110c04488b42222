"""Four workers against one: what Ray and the graph add between calls that only wait.

    python tests/benchmarks/bench_workers.py [--calls 400]

The whole command runs over small books with a summarizer that sleeps for half a second, one book
a task and one call in flight a worker. Pools are warm: nobody's first call is sent before every
worker is there. The time goes from the first call sent to the last document that the sink has
put into the state. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from processes import environment  # noqa: E402
from report import Report, say  # noqa: E402

from raypipe.core.stop import StopCheck, never_stopped  # noqa: E402
from raypipe.summarizers.lead import LeadSummarizer  # noqa: E402
from raypipe.summarizers.protocol import Summary  # noqa: E402
from raypipe.text import CleanText  # noqa: E402

CALL_S = 0.5
WORKERS = 4
REACH = 3.9
REACH_IDEAL = 1.06
"""Seconds relative to those of the calls alone: what each call costs beside its wait."""


@dataclass(frozen=True)
class SleepingSummarizer(LeadSummarizer):
    """Waits as for a model, and notes when each call was sent and answered.

    Args:
        folder: Where the notes are.
        workers: How many must be there before the first call.
    """

    folder: str = ""
    workers: int = 1

    def summarize(self, book: CleanText, stop_check: StopCheck = never_stopped) -> Summary:
        """Sleep, then take the book's first words."""
        folder = Path(self.folder)
        notes = folder / f"worker-{os.getpid()}"
        notes.touch()
        while len(list(folder.glob("worker-*"))) < self.workers:
            time.sleep(0.01)
        sent = time.time()
        time.sleep(CALL_S)
        with notes.open("a") as file:
            file.write(f"{sent} {time.time()}\n")
        return super().summarize(book, stop_check)


def main() -> None:
    """Run with one worker and with four, and divide."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=400)
    calls = parser.parse_args().calls
    report = Report("workers")
    seconds = {}
    with tempfile.TemporaryDirectory(prefix="raypipe-bench-") as name:
        write_books(Path(name) / "books", calls)
        for workers in (WORKERS, 1):
            folder = Path(name) / f"run-{workers}"
            folder.mkdir()
            run(folder, workers, calls)
            seconds[workers], answered = took(folder, workers, calls)
            report.note(f"seconds_with_{workers}", seconds[workers])
            report.note(f"seconds_with_{workers}_to_the_last_answer", answered)
            ideal = calls * CALL_S / workers
            report.at_most(
                f"with_{workers}_to_ideal", seconds[workers] / ideal, REACH_IDEAL, "x the ideal"
            )
    report.at_least("speedup", seconds[1] / seconds[WORKERS], REACH, "x, 4 workers against 1")
    report.finish()


def write_books(folder: Path, books: int) -> None:
    """Write small books, each its own text."""
    folder.mkdir()
    for number in range(books):
        text = f"The small book {number} tells of a lamp, a harbor and the number {number}. " * 14
        (folder / f"Small_{number}__by__Author.txt").write_text(text)


def run(folder: Path, workers: int, calls: int) -> None:
    """Run the command with so many workers."""
    say(f"{calls} calls of {CALL_S} s with {workers} worker(s)")
    options = [
        "storage=local",
        f"storage.path={folder.parent / 'books'}",
        "summarizer=lead",
        "summarizer._target_=bench_workers.SleepingSummarizer",
        f"+summarizer.folder={folder}",
        f"+summarizer.workers={workers}",
        "embedder=hash",
        "opensearch=none",
        f"state.uri={folder / 'state'}",
        "scale=medium",
        f"stages.summarize.workers={workers}",
        "stages.summarize.num_cpus=0.1",
        "stages.summarize.calls_per_worker=1",
        "stages.summarize.books_per_task=1",
        "ray.dashboard=false",
        "output=json",
    ]
    path = os.pathsep.join([str(ROOT), str(Path(__file__).parent)])
    done = subprocess.run(
        [sys.executable, "-m", "raypipe", "run", *options],
        cwd=folder, env=environment(PYTHONPATH=path), check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    record: dict[str, Any] = json.loads(done.stdout)
    assert record["finished"] == calls, record


def took(folder: Path, workers: int, calls: int) -> tuple[float, float]:
    """Return the seconds from the first call to the last document kept, and to the last answer."""
    notes = list(noted(folder))
    assert len(notes) == calls, f"{len(notes)} calls instead of {calls}"
    assert len(list(folder.glob("worker-*"))) == workers
    first = min(sent for sent, _ in notes)
    parts = (folder / "state" / "documents").rglob("part-*.parquet")
    kept = max(part.stat().st_mtime for part in parts)
    return kept - first, max(answered for _, answered in notes) - first


def noted(folder: Path) -> Iterator[tuple[float, float]]:
    """Yield when each call was sent and answered."""
    for path in folder.glob("worker-*"):
        for line in path.read_text().splitlines():
            sent, answered = map(float, line.split())
            yield sent, answered


if __name__ == "__main__":
    main()
