"""How far the forecast end of a run is from its end, from a tenth of the run on.

    python tests/benchmarks/bench_eta.py [--books 80] [--latency 1.0]

Books of 1 to 400 chunks against a model server on this machine: limited by the calls in flight,
then by a quota of tokens. Small books are listed first, then in a shuffled order, so that the mean
of finished books says little about the others. Each JSON line of `log=json` has a forecast; its
error is the distance between the forecast end and the end, as a share of the whole duration. The
last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from datetime import datetime
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from report import Report, say  # noqa: E402
from simulated import options, server, write_books  # noqa: E402

MAX_CHUNKS = 400
CHUNK_BYTES = 1_000
IN_FLIGHT = 32
REACH = 0.15
FROM = 0.1
"""Share of the duration after which forecasts count."""


def main() -> None:
    """Measure each kind of run and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--books", type=int, default=80)
    parser.add_argument("--latency", type=float, default=1.0, help="seconds of a call")
    parser.add_argument("--quota", type=int, default=600_000, help="tokens a minute")
    given = parser.parse_args()
    report = Report("eta")
    kinds = {
        "calls": ["quota=none", f"quota.max_in_flight={IN_FLIGHT}"],
        "quota": [f"quota.tokens_per_minute={given.quota}", f"quota.max_in_flight={IN_FLIGHT}"],
    }
    with tempfile.TemporaryDirectory(prefix="raypipe-bench-") as name:
        for order in ("small first", "shuffled"):
            books = Path(name) / order.replace(" ", "-")
            write_books(books, sizes_of(given.books, order))
            for kind, more in kinds.items():
                folder = Path(name) / f"{kind}-{books.name}"
                folder.mkdir()
                if kind == "quota" and order == "shuffled":
                    continue  # ten minutes are enough for three runs
                errors = measure(folder, books, given.latency, more)
                label = f"{kind}_{order.replace(' ', '_')}"
                report.note(f"{label}_forecasts", len(errors))
                report.note(f"{label}_mean_error", float(np.mean(errors)))
                report.at_most(f"{label}_worst_error", max(errors), REACH)
    report.finish()


def sizes_of(count: int, order: str) -> dict[str, tuple[int, int, int]]:
    """Return the books: number, chunks and bytes of a chunk, by name; names give the order."""
    random = np.random.default_rng(1)
    chunks = np.clip(np.exp(random.normal(2.5, 1.4, count)), 1, MAX_CHUNKS).astype(int)
    chunks[:2] = 1, MAX_CHUNKS
    chunks = np.sort(chunks) if order == "small first" else random.permutation(chunks)
    return {f"b{one:04d}": (one, int(size), CHUNK_BYTES) for one, size in enumerate(chunks)}


def measure(folder: Path, books: Path, latency_s: float, more: list[str]) -> list[float]:
    """Return the errors of the forecasts of a run, as shares of its duration."""
    with server(f"latency.base_s={latency_s}", "latency.sigma=0.3") as models:
        command = [
            sys.executable, "-m", "raypipe", "run", "log=json", "executor=local",
            "summarizer.chunk_tokens=300", *options(books, folder / "state", *more),
        ]  # fmt: skip
        done = subprocess.run(
            command,
            cwd=folder,
            env=models.environment(),
            capture_output=True,
            text=True,
            check=True,
        )
    lines = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    times = [datetime.fromisoformat(line["at"]).timestamp() for line in lines]
    forecasts = [
        (at, line["progress"])
        for at, line in zip(times, lines, strict=True)
        if line.get("progress")
    ]
    began, ended = forecasts[0][0], forecasts[-1][0]
    duration = ended - began
    errors = []
    for at, progress in forecasts[:-1]:
        share = (at - began) / duration
        eta_s = progress["eta_s"]
        if share >= FROM:
            error = 1.0 if eta_s is None else abs(at + eta_s - ended) / duration
            say(f"{share:4.0%} done {progress['done']}: ETA {eta_s} s, error {error:.1%}")
            errors.append(error)
    say(f"{duration:.0f} s")
    return errors


if __name__ == "__main__":
    main()
