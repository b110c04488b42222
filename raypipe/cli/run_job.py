"""Run a job for `run`, `index` and `retry`, and print its result."""

from __future__ import annotations

import dataclasses
import json
import sys
from contextlib import redirect_stdout

from raypipe.cli.report import format_report
from raypipe.cli.stop_signals import stop_on_signal
from raypipe.ledger.run_records import RunRecord
from raypipe.ledger.writer_lock import WriterLock
from raypipe.run.job import Job
from raypipe.run.runner import run


def run_and_report(job: Job, output: str) -> RunRecord:
    """Run a job under the writer lock of its state, print its result, and return its record.

    Args:
        job: The job.
        output: `text` or `json`.

    Raises:
        SetupError: Nothing was started, because every book would fail or another run writes
            this state.
    """
    job.ledger.state.check()
    # Ray reports dead workers on stdout, which is only for the result of the command.
    with WriterLock.acquire(job.ledger.state) as lock, redirect_stdout(sys.stderr):
        record = run(job, lock, stop_on_signal)
    if output == "json":
        print(json.dumps(dataclasses.asdict(record), ensure_ascii=False))
    else:
        print(format_report(record, job.target.config, job.ledger.failures))
    return record
