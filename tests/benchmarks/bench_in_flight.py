"""How near a run without a quota comes to calls x latency / calls in flight.

    python tests/benchmarks/bench_in_flight.py [--books 600] [--chunks 30] [--ceiling-books 200]

The whole command over small books that are summarized by a tree of calls, 256 in flight, against
a model that takes 2 s for each. Beside it the same with a model that takes 20 ms: what the
scheduler, boto3 and the model server can do on this machine at most. Time goes from the first
call that the server saw to its last answer. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from report import Report, say  # noqa: E402
from simulated import log_of, of_books, options, run, server, write_books  # noqa: E402

LATENCY_S = 2.0
IN_FLIGHT = 256
REACH = 0.95


def main() -> None:
    """Measure both and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--books", type=int, default=600)
    parser.add_argument("--chunks", type=int, default=30)
    parser.add_argument("--ceiling-books", type=int, default=100)
    given = parser.parse_args()
    report = Report("in_flight")
    with tempfile.TemporaryDirectory(prefix="raypipe-bench-") as name:
        folder = Path(name)
        rate, calls = measure(folder / "slow", given.books, given.chunks, LATENCY_S)
        report.note("calls", calls)
        report.note("calls_per_s", rate)
        report.at_least("of_calls_x_latency_per_in_flight", rate * LATENCY_S / IN_FLIGHT, REACH)
        ceiling, _ = measure(folder / "fast", given.ceiling_books, given.chunks, 0.02)
        report.note("ceiling_calls_per_s", ceiling)
    report.finish()


def measure(folder: Path, books: int, chunks: int, latency_s: float) -> tuple[float, int]:
    """Return calls a second, and how many there were."""
    say(f"{books} books of {chunks} chunks, {latency_s} s a call")
    write_books(folder / "books", {f"b{one:04d}": (one, chunks, 1_000) for one in range(books)})
    log = folder / "calls.jsonl"
    with server(f"latency.base_s={latency_s}", "latency.sigma=0", f"log={log}") as models:
        record = run(
            folder, models,
            *options(folder / "books", folder / "state", "quota=none"),
            f"quota.max_in_flight={IN_FLIGHT}", "summarizer.chunk_tokens=300",
        )  # fmt: skip
    assert record["finished"] == books, record
    calls = of_books(log_of(log))
    assert len(calls) >= books * chunks, f"{len(calls)} calls"
    began = min(call["sent_at"] for call in calls)
    ended = max(call["answered_at"] for call in calls)
    return len(calls) / (ended - began), len(calls)


if __name__ == "__main__":
    main()
