"""Write a page about a run, compared with another run; also while the run works."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from omegaconf import DictConfig

from raypipe.cli.open_state import open_recorded_state
from raypipe.config.build import read_options
from raypipe.core.errors import OptionError, SetupError
from raypipe.core.exit_codes import OK
from raypipe.core.paths import expand_home
from raypipe.core.printable import escape_line, to_json
from raypipe.ledger.run_history import RunState, find_run
from raypipe.state.store import State
from raypipe.web.report import build_report, find_run_before, write_report


@dataclass(frozen=True)
class WrittenReport:
    """A report that was written.

    Args:
        run_id: Id of the run.
        status: Status of the run.
        compared_with: Id of the run that it is compared with; '' for none.
        path: Where the page is: a path, or a URI of S3.
    """

    run_id: str
    status: str
    compared_with: str
    path: str


def main(cfg: DictConfig) -> int:
    """Write the page, and print where it is; errors as `carry_out`."""
    options, report = read_options(cfg), carry_out(cfg)
    if options.output == "json":
        print(to_json(asdict(report)))
    else:
        compared = f", compared with {report.compared_with}" if report.compared_with else ""
        print(escape_line(f"report  {report.path}"))
        print(escape_line(f"run     {report.run_id}: {report.status}{compared}"))
    return OK


def carry_out(cfg: DictConfig) -> WrittenReport:
    """Write the page about a run; a run may be writing the state.

    Raises:
        OptionError: There is no such run, or a setting is wrong.
        SetupError: There is no state, it cannot be read, or the page cannot be written.
    """
    options = read_options(cfg)
    state, _ = open_recorded_state(cfg, options)
    run = find_run(state, options.run)
    if not run.run_id:
        which = "no run has recorded anything"
        if run.run_seq:
            which = f"run {run.run_seq} has recorded nothing"
        raise SetupError(
            f"{which} yet that a report could show; `raypipe status` shows whether a run works, "
            "and `raypipe runs` lists the runs that a report can show"
        )
    other = _find_other(state, options.compare) if options.compare else find_run_before(state, run)
    if options.to:
        path = _write_file(expand_home(options.to, "to"), build_report(state, run, other))
    else:
        path = f"{state.uri}/{write_report(state, run, other)}"
    return WrittenReport(run.run_id, run.status, other.run_id if other else "", path)


def _find_other(state: State, name: str) -> RunState:
    try:
        return find_run(state, name)
    except OptionError as error:
        raise OptionError(str(error).replace("run=", "compare=", 1)) from None


def _write_file(path: Path, page: str) -> str:
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise SetupError(f"to={path}: it cannot be written: {reason}; name another file") from None
    return str(path.absolute())
