"""Runs that share a quota have an account each."""

from __future__ import annotations

from pathlib import Path

from raypipe.run.costs import quota_run_id
from raypipe.state.local import LocalState


def test_first_runs_of_two_states_in_one_second_are_two_runs(tmp_path: Path) -> None:
    ids = {quota_run_id(LocalState(str(tmp_path / name)), "20261127T203041Z-0001") for name in "ab"}
    assert len(ids) == 2
