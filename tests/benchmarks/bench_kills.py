"""The driver killed at random again and again, until everything is done: what is paid twice.

    python tests/benchmarks/bench_kills.py [--kills 20] [--books 30] [--seed 1]

Each run is killed with SIGKILL, with all that it started, at a random moment; the next one goes
on. The tokens that were settled for prompts asked twice must not be more than those of the calls
that were in flight at the kills, as the server saw them. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from report import Report, say  # noqa: E402
from simulated import (  # noqa: E402
    Server,
    documents,
    log_of,
    of_books,
    options,
    run,
    server,
    start,
    write_books,
)

CHUNKS = 60


def main() -> None:
    """Kill, go on, and add up."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--books", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    report, draw = Report("kills"), random.Random(given.seed)
    with tempfile.TemporaryDirectory(prefix="raypipe-bench-") as name:
        folder = Path(name)
        books = {f"b{one:04d}": (one, CHUNKS, 1_000) for one in range(given.books)}
        write_books(folder / "books", books)
        args = [
            *options(folder / "books", folder / "state"),
            "summarizer.chunk_tokens=300", "quota.max_in_flight=32",
        ]  # fmt: skip
        log = folder / "calls.jsonl"
        with server("latency.base_s=1", "latency.sigma=0.4", f"log={log}") as models:
            kills = [killed(folder, models, args, draw) for _ in range(given.kills)]
            record = run(folder, models, *args)
        calls = of_books(log_of(log))
        paid_twice, in_flight = repeated(calls), tokens_in_flight(calls, kills)
        report.note("kills_during_calls", sum(any(_at(call, at) for call in calls) for at in kills))
        report.note("calls", len(calls))
        report.note("tokens_paid_twice", paid_twice)
        report.note("tokens_in_flight_at_the_kills", in_flight)
        report.at_most("paid_twice_of_in_flight", paid_twice / max(in_flight, 1), 1.0)
        report.at_most("books_lost", given.books - len(documents(folder / "state")), 0)
        report.note("last_run", {name: record[name] for name in ("finished", "skipped", "failed")})
    report.finish()


def killed(folder: Path, models: Server, args: list[str], draw: random.Random) -> float:
    """Start a run and kill it, some time after its first call; returns when."""
    before = models.stats()["offered"]
    process = start(folder, models, *args)
    deadline = time.monotonic() + 120
    # Two of the offered ones are its checks.
    while models.stats()["offered"] <= before + 2 and process.poll() is None:
        if time.monotonic() > deadline:
            raise RuntimeError("no call within two minutes")
        time.sleep(0.1)
    time.sleep(draw.uniform(0.0, 4.0))
    at = time.time()
    kill(process)
    say(f"killed after {models.stats()['offered'] - before} calls")
    return at


def kill(process: subprocess.Popen[str]) -> None:
    """Kill the driver; its guardian and Ray end what it started."""
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()


def repeated(calls: list[dict[str, Any]]) -> int:
    """Return the tokens settled for all but the last answer of each prompt."""
    by_prompt: dict[str, list[int]] = {}
    for call in calls:
        if call["status"] == 200 or call["output_tokens"]:
            tokens = call["input_tokens"] + call["output_tokens"]
            by_prompt.setdefault(call["prompt"], []).append(tokens)
    return sum(sum(tokens[:-1]) for tokens in by_prompt.values())


def tokens_in_flight(calls: list[dict[str, Any]], kills: list[float]) -> int:
    """Return the tokens of the calls that the server was working on at the kills."""
    return sum(
        call["input_tokens"] + call["output_tokens"]
        for at in kills
        for call in calls
        if _at(call, at)
    )


def _at(call: dict[str, Any], at: float) -> bool:
    return bool(call["sent_at"] <= at <= call["answered_at"])


if __name__ == "__main__":
    main()
