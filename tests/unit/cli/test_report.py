"""`raypipe report`, and the report that each run writes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from raypipe.cli.report import format_report
from raypipe.cli.run_job import run_job
from raypipe.core.errors import SetupError
from raypipe.state.local import LocalState
from raypipe.state.store import state_id
from tests.unit.command_line import RunCommandLine
from tests.unit.run.local_jobs import RefusingSummarizer, local_job, write_books
from tests.unit.web.stored_runs import run_id_of, write_record, write_run, write_statistics

pytestmark = pytest.mark.usefixtures("isolated_hydra", "no_services")


@pytest.fixture
def state(tmp_path: Path) -> LocalState:
    state = LocalState(str(tmp_path / "state"))
    state_id(state)
    return state


def test_a_report_is_rebuilt_and_compared(
    state: LocalState,
    run_command_line: RunCommandLine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for seq in (1, 2, 3):
        write_run(state, seq)
    code, out, err = run_command_line("report", f"state.uri={state.root}")
    path = Path(state.root) / "runs" / run_id_of(3) / "report.html"
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        f"report  {path}",
        f"run     {run_id_of(3)}: done, compared with {run_id_of(2)}",
    ]
    assert "Comparison with run 2" in path.read_text()
    monkeypatch.setenv("HOME", str(tmp_path))
    words = ("report", "3", "compare=1", "to=~/out.html", "output=json")
    code, out, _ = run_command_line(*words, f"state.uri={state.root}")
    assert json.loads(out) == {
        "run_id": run_id_of(3),
        "status": "done",
        "compared_with": run_id_of(1),
        "path": str(tmp_path / "out.html"),
    }
    assert "Comparison with run 1" in (tmp_path / "out.html").read_text()
    assert "Comparison with run 2" in path.read_text(), "the report in the state is as it was"


def test_a_report_of_a_run_that_has_no_record(
    state: LocalState, run_command_line: RunCommandLine
) -> None:
    write_statistics(state, 1)
    progress = {"run_id": run_id_of(1), "at": "2026-11-28T10:02:17Z", "done": 3, "failed": 1}
    state.put(f"runs/{run_id_of(1)}/progress.json", json.dumps(progress).encode())
    code, out, _ = run_command_line("report", "1", f"state.uri={state.root}")
    assert (code, out.splitlines()[1]) == (0, f"run     {run_id_of(1)}: killed")


def test_what_cannot_be_reported_is_one_line(
    state: LocalState, run_command_line: RunCommandLine, tmp_path: Path
) -> None:
    uri = f"state.uri={state.root}"
    code, _, err = run_command_line("report", uri)
    assert (code, err.count("\n"), "no run has recorded anything yet" in err) == (1, 1, True)
    write_record(state, 1)
    code, _, err = run_command_line("report", "9", uri)
    assert (code, err.count("\n"), "run=9: there is no such run" in err) == (2, 1, True)
    code, _, err = run_command_line("report", "compare=9", uri)
    assert (code, err.count("\n"), "compare=9: there is no such run" in err) == (2, 1, True)
    code, _, err = run_command_line("report", "to=~nobody-here/x.html", uri)
    assert (code, err.count("\n"), "there is no user nobody-here" in err) == (2, 1, True)
    code, _, err = run_command_line("report", f"to={tmp_path / 'none' / 'x.html'}", uri)
    assert (code, err.count("\n"), "it cannot be written: No such file" in err) == (1, 1, True)
    code, _, err = run_command_line("report", f"state.uri={tmp_path / 'nothing'}")
    assert (code, "there is no state at" in err) == (1, True)


def test_a_run_writes_its_report_and_a_run_with_nothing_to_do_does_not(tmp_path: Path) -> None:
    write_books(tmp_path / "books", 3)
    (tmp_path / "books" / "Empty__by__No_One.txt").write_text("")
    job = local_job(tmp_path)
    record = run_job(job)
    page = (job.ledger.state.get(f"runs/{record.run_id}/report.html") or b"").decode()
    assert "done, with failed books" in page
    assert "Empty__by__No_One.txt" in page
    assert "Percentiles are mostly accurate" in page
    line = f"report  {job.ledger.state.uri}/runs/{record.run_id}/report.html"
    assert line in format_report(record, None, job.ledger.failures).splitlines()
    again = run_job(job)
    assert job.ledger.state.get(f"runs/{again.run_id}/report.html") is None
    assert "report  " not in format_report(again, None, job.ledger.failures)


def test_a_run_that_an_error_ends_has_a_report(tmp_path: Path) -> None:
    write_books(tmp_path / "books", 3)
    job = local_job(tmp_path, RefusingSummarizer())
    with pytest.raises(SetupError, match="there are no credentials"):
        run_job(job)
    [name] = [name for name in job.ledger.state.list("runs/") if name.endswith("/report.html")]
    assert "there are no credentials" in (job.ledger.state.get(name) or b"").decode()
