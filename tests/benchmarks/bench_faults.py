"""A run whose model server goes wrong in five ways, against a clean one.

    python tests/benchmarks/bench_faults.py [--books 40]

20 % of the calls are throttled, 5 % fail with 500 or 503, 2 % hang, 1 % of the connections are
reset and 1 % of the answers are cut in the middle. Every document must equal the clean run's, and
no prompt may be answered again that was answered, and kept, before. The last line is one JSON
object.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from report import Report, say  # noqa: E402
from simulated import answered_twice, documents, options, run, server, write_books  # noqa: E402

FAULTS = [
    "faults.throttle=0.2", "faults.internal=0.03", "faults.unavailable=0.02", "faults.hang=0.02",
    "faults.hang_s=30", "faults.reset=0.01", "faults.truncated=0.01",
]  # fmt: skip


def main() -> None:
    """Run both and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--books", type=int, default=40)
    books = parser.parse_args().books
    report = Report("faults")
    with tempfile.TemporaryDirectory(prefix="raypipe-bench-") as name:
        folder = Path(name)
        write_books(folder / "books", {f"b{one:04d}": (one, 15, 1_000) for one in range(books)})
        clean, _ = measure(folder, "clean", books, [])
        faulty, stats = measure(folder, "faulty", books, FAULTS)
        report.note("calls_offered", stats["offered"])
        report.note("faults", dict(Counter(stats["faults"])))
        report.note("tokens_of_repeated_prompts", stats["repeated_prompts"]["tokens"])
        unlike = [key for key in clean if clean[key] != faulty.get(key)]
        report.at_most("documents_unlike_the_clean_runs", len(unlike), 0)
        twice = answered_twice(folder / "faulty" / "calls.jsonl")
        report.at_most("prompts_answered_twice_after_a_kept_answer", len(twice), 0)
    report.finish()


def measure(
    folder: Path, name: str, books: int, faults: list[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the documents, what time and run made of them left out, and the server's counters."""
    say(f"{name}: {books} books")
    here = folder / name
    here.mkdir()
    latency = ["latency.base_s=0.3", f"log={here / 'calls.jsonl'}"]
    with server(*latency, *faults) as models:
        record = run(
            here, models, *options(folder / "books", here / "state", "quota=none"),
            "summarizer.chunk_tokens=300", "summarizer.model.read_timeout_s=10",
        )  # fmt: skip
        stats = models.stats()
    assert (record["finished"], record["failed"]) == (books, 0), record
    return documents(here / "state"), stats


if __name__ == "__main__":
    main()
