"""Write the report of a run into its state."""

from __future__ import annotations

import logging

from raypipe.core.activity import activity
from raypipe.ledger.run_history import RunState, read_run
from raypipe.ledger.run_records import report_name
from raypipe.ledger.run_statistics import load_statistics
from raypipe.state.store import State
from raypipe.web.report.facts import find_run_before, read_facts

log = logging.getLogger(__name__)


def build_report(state: State, run: RunState, other: RunState | None) -> str:
    """Return the report of a run as HTML; `other` is the run to compare with.

    Raises:
        SetupError: The state cannot be read.
    """
    # Imported here: a run with nothing to do needs no templates.
    from raypipe.web.report.page import render_report

    compared = read_facts(state, other) if other is not None else None
    return render_report(read_facts(state, run), compared)


def write_report(state: State, run: RunState, other: RunState | None) -> str:
    """Write the report of a run into its state; return its name there.

    Raises:
        SetupError: The state cannot be read or written.
    """
    name = report_name(run.run_id)
    state.put(name, build_report(state, run, other).encode(), durable=False)
    return name


def write_report_of_ended_run(state: State, run_id: str) -> str:
    """Write the report of a run that has just ended, compared with the run before.

    A run that processed no book gets no report. A report that cannot be written harms no run: it
    is a line in the log.

    Returns:
        Name of the report in the state; '' if none was written.
    """
    try:
        if load_statistics(state, run_id) is None:
            return ""
        with activity.doing("writing the report"):
            run = read_run(state, run_id)
            return write_report(state, run, find_run_before(state, run))
    except Exception as error:
        log.warning(
            "the report of run %s was not written: %s: %s; `raypipe report` tries again",
            run_id,
            type(error).__name__,
            error,
        )
        return ""
