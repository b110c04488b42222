"""Let the contenders do the jobs in turns, and collect their runs."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from report import describe_origin, say

from tests.benchmarks.compare.contenders import Contender
from tests.benchmarks.compare.jobs import JOBS, ROUNDS_MATTER, Bench
from tests.benchmarks.compare.results import Comparison, Entry, Run
from tests.benchmarks.compare.servers import start_servers


def compare(
    contenders: Sequence[Contender], jobs: Sequence[str], rounds: int, books: tuple[int, int]
) -> Comparison:
    """Let the contenders do the jobs in turns.

    A contender whose warm-up fails takes no part; the table shows why.

    Args:
        contenders: Who takes part.
        jobs: Names of the jobs.
        rounds: Rounds of the jobs with times.
        books: Number of books with a model, number of small books without.
    """
    # End as Ctrl-C does: the command that is measured and the servers end, too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    comparison = Comparison(describe(rounds, books), {})
    with (
        # Ray's sockets are below this folder; their paths have 107 characters at most.
        tempfile.TemporaryDirectory(prefix="rc-", ignore_cleanup_errors=True) as folder,
        start_servers(Path(folder)) as servers,
    ):
        bench = Bench(Path(folder), servers, books)
        able = []
        for contender in contenders:
            entry = Entry(contender.label, contender.how, contender.get_versions())
            comparison.entries[contender.name] = entry
            run = bench.warm_up(contender)
            if run.problem:
                entry.add({"warm-up": run})
            else:
                able.append(contender)
            report_run(contender, "warm-up", run)
        for job in jobs:
            for turn in range(rounds if job in ROUNDS_MATTER else 1):
                for contender in able if turn % 2 == 0 else reversed(able):
                    try:
                        runs = JOBS[job](bench, contender)
                    except RuntimeError as error:  # the others still take their turns
                        runs = {job: Run.failed(str(error))}
                    comparison.entries[contender.name].add(runs)
                    for name, run in runs.items():
                        report_run(contender, name, run)
    return comparison


def describe(rounds: int, books: tuple[int, int]) -> Mapping[str, Any]:
    """Return when, where and from what the comparison is made."""
    return {**describe_origin(), "rounds": rounds, "books": list(books)}


def report_run(contender: Contender, job: str, run: Run) -> None:
    """Print a line about a run."""
    say(
        f"{contender.name:20} {job:12} {run.wall_s:6.1f} s  CPU {run.cpu_s:5.1f} s  "
        f"{run.pss_mb:5.0f} MB  {run.processes:2} processes  {run.calls:4} calls  "
        f"{run.bulk_requests:3} bulk requests  {run.documents:5} documents  {run.problem}"
    )
