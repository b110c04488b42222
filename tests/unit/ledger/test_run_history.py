"""Runs of a state: ended, running here, running on another host, and killed."""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import pytest

from raypipe.core.errors import OptionError
from raypipe.ledger.lock_owner import LOCK_NAME, LockOwner, encode_owner
from raypipe.ledger.run_history import (
    KILLED,
    NO_RUN,
    RUNNING,
    RunReport,
    find_run,
    list_run_ids,
    read_owner,
    read_run,
)
from raypipe.ledger.run_progress import FILE, load_progress
from raypipe.ledger.run_records import RunRecord
from raypipe.state.local import LocalState

NOW = 1_795_860_137.0
RUN = "20261128T100217Z-0003"


@pytest.fixture
def state(tmp_path: Path) -> LocalState:
    return LocalState(str(tmp_path / "state"))


def write_progress(state: LocalState, age_s: float, **values: Any) -> None:
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(NOW - age_s))
    value = {"run_id": RUN, "at": at, "done": 5, **values}
    state.put(f"runs/{RUN}/{FILE}", json.dumps(value).encode())


def hold(state: LocalState, **changes: Any) -> LockOwner:
    owner = dataclasses.replace(LockOwner.current_process(3), **changes)
    state.put(LOCK_NAME, encode_owner(owner))
    return owner


def no_sleep(_: float) -> None:
    raise AssertionError("no heartbeat has to be watched")


def test_runs_are_listed_by_number_whatever_they_left(state: LocalState) -> None:
    for run_id in ("20261128T100000Z-0002", "20261127T100000Z-0010"):
        RunRecord(run_id, int(run_id[-4:])).save(state)
    write_progress(state, 0)
    assert list_run_ids(state) == ["20261127T100000Z-0010", RUN, "20261128T100000Z-0002"]


def test_a_run_of_this_host_runs_while_its_process_does(state: LocalState) -> None:
    write_progress(state, 5_000)  # it is closing, and writes no progress
    owner = hold(state)
    run = read_run(state, RUN, clock=lambda: NOW, sleep=no_sleep)
    assert (run.status, run.owner, run.exit_code) == (RUNNING, owner, 0)
    hold(state, started="1")  # another process has this pid now
    assert read_run(state, RUN, clock=lambda: NOW, sleep=no_sleep).status == KILLED


def test_a_run_of_another_host_runs_while_it_gives_signs_of_life(state: LocalState) -> None:
    hold(state, host="elsewhere", beat=7)
    write_progress(state, 12)
    assert read_run(state, RUN, clock=lambda: NOW, sleep=no_sleep).status == RUNNING
    write_progress(state, 300)
    slept: list[float] = []
    run = read_run(state, RUN, clock=lambda: NOW, sleep=slept.append)
    assert (run.status, run.exit_code, sum(slept)) == (KILLED, 4, 12)

    def beat(seconds: float) -> None:
        hold(state, host="elsewhere", beat=8)

    assert read_run(state, RUN, clock=lambda: NOW, sleep=beat).status == RUNNING


def test_a_silent_owner_is_watched_once_until_it_gives_a_heartbeat(state: LocalState) -> None:
    silent: set[LockOwner] = set()
    hold(state, host="elsewhere", beat=7)
    write_progress(state, 300)
    slept: list[float] = []
    for _ in range(3):
        run = read_run(state, RUN, silent=silent, clock=lambda: NOW, sleep=slept.append)
        assert run.status == KILLED
    assert sum(slept) == 12
    hold(state, host="elsewhere", beat=8)  # with each heartbeat it is watched again
    read_run(state, RUN, silent=silent, clock=lambda: NOW, sleep=slept.append)
    assert sum(slept) == 24


def test_a_run_is_found_by_id_number_or_as_the_newest(state: LocalState) -> None:
    assert find_run(state, "") == NO_RUN
    RunRecord(RUN, 3, status="done", exit_code=0).save(state)
    for name in ("", "3", "0003", RUN):
        assert find_run(state, name).run_id == RUN
    report = RunReport.of(find_run(state, ""))
    assert (report.run_id, report.status, report.owner, report.progress) == (RUN, "done", "", None)
    with pytest.raises(OptionError, match=f"run=4: there is no such run; the newest are {RUN}"):
        find_run(state, "4")
    with pytest.raises(OptionError, match="there is no such run"):
        find_run(state, "9" * 5_000)


def test_a_run_that_was_killed_before_its_first_progress_is_the_newest(state: LocalState) -> None:
    hold(state, started="1")  # another process has this pid now
    assert find_run(state, "").exit_code == 4
    RunRecord("20261127T100217Z-0002", 2, status="done", exit_code=0).save(state)
    run = find_run(state, "")
    assert (run.run_id, run.run_seq, run.status, run.owner) == ("", 3, KILLED, None)
    hold(state, started="1", held=False)  # it was stopped, and released the lock
    assert find_run(state, "").run_seq == 2


def test_a_run_whose_lock_another_run_holds_was_killed(state: LocalState) -> None:
    write_progress(state, 1)
    hold(state, run_seq=4)
    assert read_run(state, RUN, clock=lambda: NOW, sleep=no_sleep).status == KILLED
    hold(state, held=False)
    assert read_owner(state) is None
    assert read_run(state, RUN, clock=lambda: NOW, sleep=no_sleep).status == KILLED


def test_a_record_decides(state: LocalState) -> None:
    hold(state)
    write_progress(state, 1)
    RunRecord(RUN, 3, status="stopped", exit_code=4).save(state)
    run = read_run(state, RUN, clock=lambda: NOW, sleep=no_sleep)
    assert (run.status, run.exit_code, run.owner) == ("stopped", 4, None)


@pytest.mark.parametrize("data", [b"", b"[]", b"\xff", b'{"done": "many"}', b"[" * 100_000])
def test_a_damaged_progress_is_no_progress(state: LocalState, data: bytes) -> None:
    state.put(f"runs/{RUN}/{FILE}", data)
    assert load_progress(state, RUN) is None


def test_keys_of_a_newer_raypipe_are_ignored(state: LocalState) -> None:
    write_progress(state, 60, stages={"read": {"books": 3}}, listed=None, eta_s=None)
    progress = load_progress(state, RUN)
    assert progress is not None
    assert (progress.done, progress.listed, progress.age_s(NOW)) == (5, None, 60)
    write_progress(state, 0, at="yesterday")
    progress = load_progress(state, RUN)
    assert progress is not None
    assert progress.age_s(NOW) is None
