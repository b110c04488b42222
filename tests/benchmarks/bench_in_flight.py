"""How near a run without a quota comes to calls x latency / calls in flight, and its CPU a call.

    python tests/benchmarks/bench_in_flight.py [--books 200] [--chunks 30] [--fast-books 400]

The whole command over small books that are summarized by a tree of calls, 256 in flight, against
a model that takes 6 s for each, then 2 s. Beside it a model that takes 20 ms: what the scheduler,
the client and the model server can do on this machine at most. The share with a reach is that of
the first 95 % of the calls: the last calls of a run merge the last books, one call after another,
and fewer than 256 of them are possible at a time. The share of the whole time, to the last answer,
is a note. CPU a call is that of the whole process: its start counts, and so does everything that a
book takes beside its calls. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from processes import Watched  # noqa: E402
from report import Report, say  # noqa: E402
from simulated import log_of, of_books, options, server, write_books  # noqa: E402

SLOW_S, FAST_S, LEAST_S = 6.0, 2.0, 0.02
IN_FLIGHT = 256
FIRST_SHARE = 0.95
REACH = 0.95
REACH_OF_WORKER_MS, REACH_OF_SERVICES_MS = 8.0, 2.0
WORKER, SERVICES = "ray::MapWorker", "ray::RunService"
"""Names of Ray's processes, of which the system keeps 15 characters."""


@dataclass(frozen=True)
class Measured:
    """What a run took.

    Args:
        calls: Number of calls about books.
        calls_per_s: Calls a second, from the first call to the last answer.
        first_calls_per_s: Calls a second until `FIRST_SHARE` of the calls were sent.
        worker_ms: CPU milliseconds of the workers for each call.
        services_ms: CPU milliseconds of the actor with coordinator and quotas for each call.
    """

    calls: int
    calls_per_s: float
    first_calls_per_s: float
    worker_ms: float
    services_ms: float

    def whole_share(self, latency_s: float) -> float:
        """Return the share of the calls a second that the latency allows."""
        return self.calls_per_s * latency_s / IN_FLIGHT

    def share(self, latency_s: float) -> float:
        """Return the same share without the last calls of the run."""
        return self.first_calls_per_s * latency_s / IN_FLIGHT


def main() -> None:
    """Measure all three and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--books", type=int, default=200)
    parser.add_argument("--chunks", type=int, default=30)
    parser.add_argument("--fast-books", type=int, default=400)
    given = parser.parse_args()
    report = Report("in_flight")
    with tempfile.TemporaryDirectory(prefix="raypipe-bench-") as name:
        folder = Path(name)
        slow = measure(folder / "slow", given.books, given.chunks, SLOW_S)
        report.note("calls", slow.calls)
        report.at_least("share_at_6_s", slow.share(SLOW_S), REACH)
        fast = measure(folder / "fast", given.fast_books, given.chunks, FAST_S)
        report.note("whole_share_at_6_s", slow.whole_share(SLOW_S))
        report.note("share_at_2_s", fast.share(FAST_S))
        report.note("whole_share_at_2_s", fast.whole_share(FAST_S))
        report.at_most("worker_ms_a_call", fast.worker_ms, REACH_OF_WORKER_MS, "ms of CPU")
        report.at_most("services_ms_a_call", fast.services_ms, REACH_OF_SERVICES_MS, "ms of CPU")
        least = measure(folder / "least", given.books // 2, given.chunks, LEAST_S)
        report.note("ceiling_calls_per_s", least.calls_per_s)
    report.finish()


def measure(folder: Path, books: int, chunks: int, latency_s: float) -> Measured:
    """Run raypipe on these books."""
    say(f"{books} books of {chunks} chunks, {latency_s} s a call")
    write_books(folder / "books", {f"b{one:04d}": (one, chunks, 1_000) for one in range(books)})
    log = folder / "calls.jsonl"
    with server(f"latency.base_s={latency_s}", "latency.sigma=0", f"log={log}") as models:
        command = Watched(
            [
                sys.executable, "-m", "raypipe", "run",
                *options(folder / "books", folder / "state", "quota=none"),
                f"quota.max_in_flight={IN_FLIGHT}", "summarizer.chunk_tokens=300",
            ],
            folder,
            models.environment(),
        )  # fmt: skip
        record = json.loads(command.wait())
    assert record["finished"] == books, record
    calls = of_books(log_of(log))
    assert len(calls) >= books * chunks, f"{len(calls)} calls"
    sent = sorted(call["sent_at"] for call in calls)
    began, first = sent[0], int(FIRST_SHARE * len(sent))
    ended = max(call["answered_at"] for call in calls)
    seconds = (command.cpu_seconds(name) for name in (WORKER, SERVICES))
    worker_ms, services_ms = (1000 * each / len(calls) for each in seconds)
    # Of the calls that were sent until then, as many as the limit are not answered yet.
    first_calls_per_s = (first - IN_FLIGHT) / (sent[first] - began)
    return Measured(
        len(calls), len(calls) / (ended - began), first_calls_per_s, worker_ms, services_ms
    )


if __name__ == "__main__":
    main()
