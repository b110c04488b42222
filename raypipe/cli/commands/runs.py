"""List the runs of a state, the newest first."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from omegaconf import DictConfig

from raypipe.cli.open_state import open_recorded_state
from raypipe.config.build import read_options
from raypipe.core.exit_codes import OK
from raypipe.core.printable import join_lines, to_json
from raypipe.core.units import format_duration, format_table, format_usd
from raypipe.ledger.run_history import RunState, list_run_ids, read_listed_run
from raypipe.ledger.run_progress import RunProgress

_HEADINGS = ("run", "status", "done", "failed", "left", "calls", "cost", "time")


def main(cfg: DictConfig) -> int:
    """Print the runs; errors as `carry_out`."""
    options, runs = read_options(cfg), carry_out(cfg)
    if options.output == "json":
        print(to_json({"runs": [_to_report(run) for run in runs]}))
    elif runs:
        table = [_HEADINGS, *map(_to_cells, runs)]
        print(join_lines([*format_table(table, texts=2), *_explain_errors(runs)]))
    else:
        print("no run has recorded anything in this state yet; `raypipe status` shows more")
    return OK


def carry_out(cfg: DictConfig) -> list[RunState]:
    """Return the runs; a run may be writing the state.

    Raises:
        OptionError: A setting is wrong.
        SetupError: There is no state, or it cannot be read.
    """
    options = read_options(cfg)
    state, _ = open_recorded_state(cfg, options)
    return [read_listed_run(state, run_id) for run_id in list_run_ids(state)[: options.limit]]


def _to_report(run: RunState) -> dict[str, object]:
    record = dataclasses.asdict(run.record) if run.record else {}
    progress = dataclasses.asdict(run.progress) if run.progress else None
    return {
        **record,
        "run_id": run.run_id,
        "run_seq": run.run_seq,
        "status": run.status,
        "progress": progress,
        "problem": run.problem,
    }


def _to_cells(run: RunState) -> Sequence[str]:
    if (record := run.record) is not None:
        done, cost = record.indexed + record.finished, format_usd(record.usd)
        counts: Sequence[int | None] = (done, record.failed, record.left, record.model_calls)
        return (run.run_id, run.status, *_format(counts), cost, format_duration(record.seconds))
    progress = run.progress or RunProgress()
    counts = (progress.done, progress.failed, progress.left, progress.calls)
    return (run.run_id, run.status, *_format(counts), format_usd(progress.usd), "")


def _format(counts: Sequence[int | None]) -> list[str]:
    return ["" if count is None else f"{count:,}" for count in counts]


def _explain_errors(runs: Sequence[RunState]) -> list[str]:
    """Return why the newest of the runs ended early, if it did, and why runs are unreadable."""
    record = runs[0].record
    lines = [f"{record.run_id}: {record.reason}"] if record is not None and record.reason else []
    return lines + [run.problem for run in runs if run.problem]
