"""Open and run the job of a command, and print its result."""

from __future__ import annotations

import dataclasses
import logging
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from raypipe.cli.job_factory import build_listing_job
from raypipe.cli.live_display import find_view
from raypipe.cli.local_services import PROCESSING_PARTS, start_local_services
from raypipe.cli.log_handlers import find_log_file
from raypipe.cli.report import format_report
from raypipe.cli.stop_signals import StopSignals
from raypipe.config.build import read_options
from raypipe.core.activity import activity
from raypipe.core.errors import SetupError
from raypipe.core.printable import to_json
from raypipe.embedded.services import Services
from raypipe.ledger.run_records import RunRecord
from raypipe.ledger.writer_lock import WriterLock
from raypipe.run.executors.base import ListenForStop, no_stop_requests
from raypipe.run.job import Job
from raypipe.run.runner import run
from raypipe.sources.listing import check_has_books
from raypipe.state.store import IDENTITY
from raypipe.web.report import write_report_of_ended_run


@contextmanager
def open_listing_job(
    cfg: DictConfig, checked: Collection[str] = PROCESSING_PARTS
) -> Iterator[tuple[Job, Any]]:
    """Yield the job of `run` or `plan`, and its options, while its local services run.

    Args:
        cfg: The config of the command; addresses of local services are filled in.
        checked: Groups of the parts that are checked before the services start.

    Raises:
        SetupError: A service cannot be started.
        OptionError: An option is wrong.
    """
    options = read_options(cfg)
    with Services(Path(options.embedded.data)) as services:
        start_local_services(cfg, services, checked, needs_books=True)
        yield build_listing_job(cfg, options), options


def run_job(job: Job, listen_for_stop: ListenForStop = no_stop_requests) -> RunRecord:
    """Run a job under the writer lock of its state, and return its record.

    Raises:
        SetupError: Nothing was started, because every book would fail or another run writes
            this state.
    """
    state = job.ledger.state
    if "://" not in state.uri and state.get(IDENTITY) is None:
        _check_before_first_run(job)
    state.check()
    with WriterLock.acquire(state) as lock, activity.doing("carrying out the run"):
        try:
            record = run(job, lock, listen_for_stop)
        except SetupError:
            write_report_of_ended_run(state, activity.run_id)
            raise
        write_report_of_ended_run(state, record.run_id)
        return record


def _check_before_first_run(job: Job) -> None:
    """Find a book and the server, before a state is made that a failed run would leave behind.

    A later run finds out in its course, without these requests.
    """
    if job.selection.book_ids is None:
        check_has_books(job.source)
    job.target.check_server()


def _run_with_display(job: Job, listen_for_stop: ListenForStop) -> RunRecord:
    """Run a job, with a live display where stderr is a terminal."""
    with find_view() or nullcontext() as view:
        execution = dataclasses.replace(job.execution, view=view)
        return run_job(dataclasses.replace(job, execution=execution), listen_for_stop)


def run_and_report(job: Job, output: str) -> RunRecord:
    """Run a job until it ends or a signal stops it, and print its result.

    Args:
        job: The job.
        output: `text` or `json`.

    Raises:
        SetupError: As `run_job`.
    """
    with StopSignals() as signals:
        # Ray reports dead workers on stdout, which is only for the result of the command.
        with redirect_stdout(sys.stderr):
            record = _run_with_display(job, signals.listen)
        report = format_report(record, job.target.config, job.ledger.failures)
        print(to_json(dataclasses.asdict(record)) if output == "json" else report)
        if (file := find_log_file()) is not None:
            file.write_line(logging.INFO, report.splitlines()[0])
    return record
