"""What `raypipe plan` says against what the run then took, for three models and service tiers.

    python tests/benchmarks/bench_plan.py [--books 60] [--minutes 2]

Books of lognormal sizes; the model server counts tokens by its own rule and has a quota that
binds; the three models differ in price and service tier, in what an output token takes of the
quota, and in chunks. Tokens are input and output together, and dollars are the server's tokens at
the rates below; hours go from the first call that the server saw to its last answer. What the
finished documents cost is compared with what the run's record says. The last line is one JSON
object.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from report import Report, say  # noqa: E402
from simulated import log_of, of_books, options, run, server, write_books  # noqa: E402


@dataclass(frozen=True)
class Case:
    """A model at a service tier.

    Args:
        model: Its id.
        tier: The service tier.
        rates: Dollars per million input and output tokens.
        burndown: Quota tokens per output token.
        chunk_tokens: Size of a chunk.
    """

    model: str
    tier: str
    rates: tuple[float, float]
    burndown: int
    chunk_tokens: int


CASES = (
    Case("amazon.nova-pro-v1:0", "priority", (1.4, 5.6), 1, 1_000),
    Case("us.amazon.nova-2-lite-v1:0", "flex", (0.165, 1.375), 1, 2_000),
    Case("us.anthropic.claude-haiku-4-5-20251001-v1:0", "default", (1.1, 5.5), 5, 3_000),
)
TOKENS_REACH, USD_REACH, HOURS_REACH, DOCUMENTS_REACH = 0.05, 0.05, 0.10, 0.001


def main() -> None:
    """Plan and run with each model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--books", type=int, default=60)
    parser.add_argument("--minutes", type=float, default=2.0, help="length of each run")
    given = parser.parse_args()
    books = given.books
    report = Report("plan")
    with tempfile.TemporaryDirectory(prefix="raypipe-bench-") as name:
        folder = Path(name)
        chapters = np.random.default_rng(7).lognormal(2.5, 0.6, size=books).clip(2, 80)
        sizes = {f"b{at:04d}": (at, int(many), 4_000) for at, many in enumerate(chapters)}
        write_books(folder / "books", sizes)
        for number, case in enumerate(CASES):
            planned, took = measure(folder, number, case, given.minutes)
            name = f"{case.model} {case.tier}"
            report.note(f"{name}_planned", planned)
            report.note(f"{name}_took", took)
            tokens = (planned["input_tokens"] + planned["output_tokens"]) / took["tokens"] - 1
            report.at_most(f"{name}_tokens_off", abs(tokens), TOKENS_REACH)
            for figure, reach in (("usd", USD_REACH), ("hours", HOURS_REACH)):
                off = abs(planned[figure] / took[figure] - 1)
                report.at_most(f"{name}_{figure}_off", off, reach)
            for figure in ("tokens", "usd"):
                off = abs(took[f"documents_{figure}"] / took[f"record_{figure}"] - 1)
                report.at_most(f"{name}_documents_{figure}_off", off, DOCUMENTS_REACH)
    report.finish()


def measure(
    folder: Path, number: int, case: Case, minutes: float
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what was planned, and what the server saw, the record says and the documents cost."""
    say(f"{case.model} at service_tier={case.tier}")
    here = folder / str(number)
    here.mkdir()
    log = here / "calls.jsonl"
    args = [
        *options(folder / "books", here / "state"), f"summarizer.model_id={case.model}",
        f"summarizer.model.service_tier={case.tier}",
        f"summarizer.chunk_tokens={case.chunk_tokens}", "executor=local",
    ]  # fmt: skip
    with server("latency.base_s=0.8", f"quota.burndown={case.burndown}", f"log={log}") as models:
        # A quota that the run takes its minutes for, by a first look at the plan.
        first = run(here, models, *args, command="plan")
        quota = first["input_tokens"] + case.burndown * first["output_tokens"]
        per_minute = int(quota / minutes)
        models.control(quota={"tokens_per_minute": per_minute})
        limit = f"quota.tokens_per_minute={per_minute}"
        planned = run(here, models, *args, limit, command="plan")
        record = run(here, models, *args, limit)
    assert record["failed"] == record["left"] == 0, record
    calls = of_books(log_of(log))
    paid = [call for call in calls if call["status"] == 200]
    assert {call["tier"] for call in paid} == {case.tier}
    began, ended = min(one["sent_at"] for one in paid), max(one["answered_at"] for one in paid)
    inputs, outputs = (sum(one[f"{kind}_tokens"] for one in paid) for kind in ("input", "output"))
    documents = finished_documents(here / "state")
    took = {
        "calls": len(paid),
        "tokens": inputs + outputs,
        "hours": round((ended - began) / 3600, 5),
        "usd": round((inputs * case.rates[0] + outputs * case.rates[1]) / 1e6, 6),
        "throttled": sum(one["status"] == 429 for one in calls),
        "record_tokens": record["input_tokens"] + record["output_tokens"],
        "record_usd": record["usd"],
        "documents_tokens": sum(one["input_tokens"] + one["output_tokens"] for one in documents),
        "documents_usd": round(sum(one["usd"] for one in documents), 6),
    }
    kept = ("calls", "input_tokens", "output_tokens", "hours", "usd")
    return {name: planned[name] for name in kept}, took


def finished_documents(state: Path) -> list[dict[str, Any]]:
    """Return the finished documents of a state."""
    file = state.parent / "documents.jsonl"
    command = [
        sys.executable, "-m", "raypipe", "export", f"to={file}", f"state.uri={state}",
        "columns=[key,input_tokens,output_tokens,usd]",
    ]  # fmt: skip
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=state.parent, env=os.environ)
    return log_of(file)


if __name__ == "__main__":
    main()
