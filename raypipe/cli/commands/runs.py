"""List the runs of a state, the newest first."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from omegaconf import DictConfig

from raypipe.cli.open_state import open_recorded_state
from raypipe.cli.units import format_duration, format_table, format_usd
from raypipe.config.build import read_options
from raypipe.core.exit_codes import OK
from raypipe.core.printable import join_lines, to_json
from raypipe.ledger.run_history import RunState, list_run_ids, read_run

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
        print("no run has begun in this state; `raypipe run` begins one")
    return OK


def carry_out(cfg: DictConfig) -> list[RunState]:
    """Return the runs; a run may be writing the state.

    Raises:
        OptionError: A setting is wrong.
        SetupError: There is no state, it cannot be read, or a record is damaged.
    """
    options = read_options(cfg)
    state, _ = open_recorded_state(cfg, options)
    return [read_run(state, run_id) for run_id in list_run_ids(state)[: options.limit]]


def _to_report(run: RunState) -> dict[str, object]:
    record = dataclasses.asdict(run.record) if run.record else {}
    progress = dataclasses.asdict(run.progress) if run.progress else None
    return {
        **record,
        "run_id": run.run_id,
        "run_seq": run.run_seq,
        "status": run.status,
        "progress": progress,
    }


def _to_cells(run: RunState) -> Sequence[str]:
    if (record := run.record) is not None:
        counts = (record.indexed + record.finished, record.failed, record.left, record.model_calls)
        cost, seconds = format_usd(record.usd), format_duration(record.seconds)
    elif (progress := run.progress) is not None:
        books = (progress.counts.get(name, 0) for name in ("done", "failed", "left"))
        counts = (*books, progress.calls)
        cost, seconds = format_usd(progress.usd), ""
    else:
        counts, cost, seconds = (), "", ""
    cells = [f"{count:,}" for count in counts] or [""] * 4
    return (run.run_id, run.status, *cells, cost, seconds)


def _explain_errors(runs: Sequence[RunState]) -> list[str]:
    """Return why the newest of the runs ended early, if it did."""
    record = runs[0].record
    return [f"{record.run_id}: {record.reason}"] if record is not None and record.reason else []
