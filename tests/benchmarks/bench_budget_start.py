"""Start a run with a budget on a state with a million paid answers.

    python tests/benchmarks/bench_budget_start.py [--answers 1000000] [--groups 12000]

The answers are in a group for each book; earlier runs have added up most of them, and the logs of
some hundred processes hold those of the last run. Each start is measured in a process of its own,
so that its peak memory is its alone. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from report import Report, say  # noqa: E402

from raypipe.ledger.answer_cache import AnswerCache, cache_key  # noqa: E402
from raypipe.ledger.call_usage import CallUsage  # noqa: E402
from raypipe.ledger.token_sums import CallKind  # noqa: E402
from raypipe.ledger.usage import mark_run, usage_by_model  # noqa: E402
from raypipe.ledger.usage_log import _UsageLog  # noqa: E402
from raypipe.state.local import LocalState  # noqa: E402

PROCESSES = 300
TOKENS = 1_000, 100
REACH_S, REACH_MB = 5.0, 200


class CountingState(LocalState):
    """Counts the requests that the same calls would make to S3."""

    requests: ClassVar[Counter[str]] = Counter()

    def list_sizes(self, prefix: str = "") -> dict[str, int]:
        """Count the pages of a listing."""
        sizes = super().list_sizes(prefix)
        self.requests["list"] += len(sizes) // 1_000 + 1
        return sizes

    def list(self, prefix: str = "") -> Any:
        """Count the pages of a listing."""
        names = super().list(prefix)
        self.requests["list"] += len(names) // 1_000 + 1
        return names

    def get(self, name: str) -> bytes | None:
        """Count a GET."""
        self.requests["get"] += 1
        return super().get(name)

    def open(self, name: str) -> BinaryIO | None:
        """Count a GET."""
        self.requests["get"] += 1
        return super().open(name)

    def put(self, name: str, data: bytes, *, durable: bool = True) -> None:
        """Count a PUT."""
        self.requests["put"] += 1
        super().put(name, data, durable=durable)

    def put_if_match(self, name: str, data: bytes, tag: str, *, durable: bool = True) -> str | None:
        """Count a PUT."""
        self.requests["put"] += 1
        return super().put_if_match(name, data, tag, durable=durable)


def main() -> None:
    """Measure and print; with `--measure`, be the process that is measured."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--answers", type=int, default=1_000_000)
    parser.add_argument("--groups", type=int, default=12_000)
    parser.add_argument("--measure", nargs=2, metavar=("FOLDER", "RUN"))
    given = parser.parse_args()
    if given.measure:
        print(json.dumps(measure(given.measure[0], int(given.measure[1]))))
        return
    report = Report("budget_start")
    with tempfile.TemporaryDirectory(prefix="raypipe-bench-") as folder:
        state = LocalState(folder)
        say("writing the answers")
        write_answers(folder, given.answers, given.groups)
        write_logs(state, given.answers)
        first = start(folder, 2)
        for number in range(100):
            key = cache_key({"newer": number})
            usage = CallUsage("chat", "model", *TOKENS)
            AnswerCache(state).group("new").put(key, {"text": "x"}, usage, dict)
        found = start(folder, 3)
        say("deleting the answers")
    both = (("", found, given.answers + 100), ("_with_logs", first, given.answers))
    for name, result, answers in both:
        assert result["tokens"] == [TOKENS[0] * answers, TOKENS[1] * answers], result
        report.at_most(f"start{name}", result["seconds"], REACH_S, "s")
        report.at_most(f"peak_memory{name}", result["peak_mb"], REACH_MB, "MB")
        report.note(f"requests{name}", result["requests"])
    report.note("memory_before_mb", found["before_mb"])
    report.finish()


def write_answers(folder: str, answers: int, groups: int) -> None:
    """Write the names of the answers; those of a group have the same content, to be fast."""
    for group in range(groups):
        name = hashlib.sha256(f"{group}".encode()).hexdigest()
        path = Path(folder, "cache", name)
        path.mkdir(parents=True)
        first = path / f"{cache_key({'group': group})}.json"
        first.write_bytes(b"{}" * 400)
        for number in range(answers // groups + (group < answers % groups) - 1):
            os.link(first, path / f"{cache_key({'group': group, 'number': number})}.json")


def write_logs(state: LocalState, answers: int) -> None:
    """Write the logs of the processes that made the calls."""
    mark_run(state, 1)
    for process in range(PROCESSES):
        log = _UsageLog(state)
        calls = answers // PROCESSES + (process < answers % PROCESSES)
        log._sums.models["model"] = calls - 1, TOKENS[0] * (calls - 1), TOKENS[1] * (calls - 1)
        log.record(CallKind("2026-11-28", "model"), *TOKENS)


def start(folder: str, run_seq: int) -> dict[str, Any]:
    """Measure the start of a run in another process."""
    command = [sys.executable, __file__, "--measure", folder, str(run_seq)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def measure(folder: str, run_seq: int) -> dict[str, Any]:
    """Read what was paid for before a run."""
    state = CountingState(folder)
    before = _peak_mb()
    began = time.perf_counter()
    mark_run(state, run_seq)
    [usage] = usage_by_model(state, run_seq)
    return {
        "seconds": time.perf_counter() - began,
        "tokens": [usage.input_tokens, usage.output_tokens],
        "before_mb": before,
        "peak_mb": _peak_mb(),
        "requests": dict(state.requests),
    }


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
