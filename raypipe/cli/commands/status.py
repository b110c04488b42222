"""Show how far a run is, or how it ended; works while it writes, and on another machine."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

from omegaconf import DictConfig

from raypipe.cli.open_state import open_recorded_state
from raypipe.config.build import read_options
from raypipe.core.printable import join_lines, to_json
from raypipe.core.units import format_duration, format_usd
from raypipe.ledger.facade import Ledger
from raypipe.ledger.failure_log import FailedBook, describe_way_out, explain, group_by_kind
from raypipe.ledger.run_history import KILLED, NO_RUN, RUNNING, RunReport, RunState, find_run
from raypipe.ledger.run_progress import RunProgress
from raypipe.ledger.run_records import RunRecord

_COUNTS = ("listed", "todo", "done", "failed", "left")


def main(cfg: DictConfig) -> int:
    """Print the status, and return the run's exit code: 0 while it runs, 4 if it was killed."""
    options, (run, failed) = read_options(cfg), carry_out(cfg)
    if options.output == "json":
        print(to_json(_to_report(run, failed)))
    else:
        print(join_lines(_format_status(run, failed)))
    return run.exit_code


def carry_out(cfg: DictConfig) -> tuple[RunState, list[FailedBook]]:
    """Return a run, and the failed books of the state.

    Raises:
        OptionError: There is no such run, or a setting is wrong.
        SetupError: There is no state, or it cannot be read.
    """
    options = read_options(cfg)
    state, _ = open_recorded_state(cfg, options)
    return find_run(state, options.run), Ledger(state).failed_books()


def _to_report(run: RunState, failed: list[FailedBook]) -> dict[str, Any]:
    """Return the status for `output=json`."""
    return {
        **dataclasses.asdict(RunReport.of(run)),
        "failures": {kind: len(books) for kind, books in group_by_kind(failed)},
    }


def _format_status(run: RunState, failed: list[FailedBook]) -> list[str]:
    if run.status == NO_RUN.status:
        return ["no run has begun in this state; `raypipe run` begins one"]
    lines = [f"run     {run.run_id or run.run_seq}: {run.status}{_where(run)}"]
    if run.record is not None:
        lines += _format_record(run)
    elif run.progress is not None:
        lines += _format_progress(run.progress, time.time(), is_running=run.status == RUNNING)
    elif run.status == RUNNING:
        lines.append("        it has recorded no progress yet")
    if run.status == KILLED:
        lines.append("        it ended without a record; run again to continue, nothing is lost")
    lines += [
        f"failed  {len(books):,} {kind}: {explain(kind)}" for kind, books in group_by_kind(failed)
    ]
    lines += [f"        {line}" for line in describe_way_out(failed)]
    if failed:
        lines.append("        `raypipe failures` lists the books")
    return lines


def _where(run: RunState) -> str:
    if run.owner is None:
        return ""
    return f" on {run.owner.host} (pid {run.owner.pid}) since {run.owner.taken_at}"


def _format_record(run: RunState) -> list[str]:
    """Return the lines about a run that has ended."""
    record = run.record or RunRecord(run.run_id, run.run_seq)
    done = record.indexed + record.finished
    lines = [
        f"books   listed {record.listed:,} = skipped {record.skipped:,} + done {done:,} "
        f"+ failed {record.failed:,} + left {record.left:,}",
        f"time    began {record.started_at}, took {format_duration(record.seconds)}",
    ]
    if record.model_calls + record.cached_calls:
        lines.append(
            f"models  {record.model_calls:,} calls, {record.input_tokens:,} tokens in, "
            f"{record.output_tokens:,} out, {format_usd(record.usd)}; {record.cached_calls:,} "
            "answers came from the cache"
        )
    if record.served:
        lines.append(f"index   {record.served}")
    if record.reason:
        lines.append(f"reason  {record.reason}")
    return lines


def _format_progress(progress: RunProgress, now: float, *, is_running: bool) -> list[str]:
    """Return the lines about a run that has no record yet.

    Args:
        progress: Its last progress.
        now: Seconds since the epoch.
        is_running: Whether it still runs, so that its remaining time is shown.
    """
    counts = (f"{name} {_count(getattr(progress, name))}" for name in _COUNTS)
    lines = [f"books   {' · '.join(counts)}"]
    if is_running and progress.rate_per_s is not None:
        left = "unknown" if progress.eta_s is None else f"in {format_duration(progress.eta_s)}"
        limit = f"; limited by {progress.limit}" if progress.limit else ""
        lines.append(f"rate    {progress.rate_per_s:,.2f} books a second; the end is {left}{limit}")
    if progress.calls:
        estimated = progress.estimated_calls
        of = "" if estimated is None else f" of about {estimated:,.0f}"
        tokens = progress.tokens or {}
        lines.append(
            f"models  {progress.calls:,}{of} calls, {_count(tokens.get('input'))} tokens in, "
            f"{_count(tokens.get('output'))} out, {format_usd(progress.usd)}"
        )
    if is_running and progress.memory_bytes:
        lines.append(f"memory  {progress.memory_bytes / 1e9:.1f} GB")
    if progress.failures:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in progress.failures.items())
        lines.append(f"failing {kinds}")
    if progress.stop_reason:
        lines.append(f"stops   {progress.stop_reason}")
    age = progress.age_s(now)
    lines.append(f"seen    {'at ' + progress.at if age is None else format_duration(age) + ' ago'}")
    return lines


def _count(number: int | None) -> str:
    return "unknown" if number is None else f"{number:,}"
