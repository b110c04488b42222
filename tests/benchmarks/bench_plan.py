"""What `raypipe plan` says against what the run then took, for three models.

    python tests/benchmarks/bench_plan.py [--books 60]

Books of lognormal sizes; the model server counts tokens by its own rule and has a quota that
binds; the three models differ in price, in what an output token takes of the quota, and in chunks.
Tokens are input and output together; hours go from the first call that the server saw to its last
answer. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from report import Report, say  # noqa: E402
from simulated import log_of, of_books, options, run, server, write_books  # noqa: E402

MINUTES = 2.0
MODELS = {
    "amazon.nova-micro-v1:0": (1, ["summarizer.chunk_tokens=1000"]),
    "us.amazon.nova-lite-v1:0": (1, ["summarizer.chunk_tokens=2000"]),
    "us.anthropic.claude-haiku-4-5-20251001-v1:0": (5, ["summarizer.chunk_tokens=3000"]),
}
TOKENS_REACH, HOURS_REACH = 0.05, 0.10


def main() -> None:
    """Plan and run with each model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--books", type=int, default=60)
    books = parser.parse_args().books
    report = Report("plan")
    with tempfile.TemporaryDirectory(prefix="raypipe-bench-") as name:
        folder = Path(name)
        chapters = np.random.default_rng(7).lognormal(2.5, 0.6, size=books).clip(2, 80)
        sizes = {f"b{at:04d}": (at, int(many), 4_000) for at, many in enumerate(chapters)}
        write_books(folder / "books", sizes)
        for number, (model, (burndown, more)) in enumerate(MODELS.items()):
            planned, took = measure(folder, number, model, burndown, more)
            tokens = (planned["input_tokens"] + planned["output_tokens"]) / took["tokens"] - 1
            hours = planned["hours"] / took["hours"] - 1
            report.note(f"{model}_planned", planned)
            report.note(f"{model}_took", took)
            report.at_most(f"{model}_tokens_off", abs(tokens), TOKENS_REACH)
            report.at_most(f"{model}_hours_off", abs(hours), HOURS_REACH)
    report.finish()


def measure(
    folder: Path, number: int, model: str, burndown: int, more: list[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what was planned, and what the server saw."""
    say(model)
    here = folder / str(number)
    here.mkdir()
    log = here / "calls.jsonl"
    args = [
        *options(folder / "books", here / "state"), f"summarizer.model_id={model}", *more,
    ]  # fmt: skip
    with server("latency.base_s=0.8", f"quota.burndown={burndown}", f"log={log}") as models:
        # A quota that the run takes two minutes for, by a first look at the plan.
        first = run(here, models, *args, command="plan")
        quota = first["input_tokens"] + burndown * first["output_tokens"]
        per_minute = int(quota / MINUTES)
        models.control(quota={"tokens_per_minute": per_minute})
        limit = f"quota.tokens_per_minute={per_minute}"
        planned = run(here, models, *args, limit, command="plan")
        record = run(here, models, *args, limit)
    assert record["failed"] == record["left"] == 0, record
    calls = of_books(log_of(log))
    paid = [call for call in calls if call["status"] == 200]
    began, ended = min(one["sent_at"] for one in paid), max(one["answered_at"] for one in paid)
    took = {
        "calls": len(paid),
        "tokens": sum(one["input_tokens"] + one["output_tokens"] for one in paid),
        "hours": round((ended - began) / 3600, 5),
        "usd": record["usd"],
        "throttled": sum(one["status"] == 429 for one in calls),
    }
    kept = ("calls", "input_tokens", "output_tokens", "hours", "usd")
    return {name: planned[name] for name in kept}, took


if __name__ == "__main__":
    main()
