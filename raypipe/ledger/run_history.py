"""The runs of a state: finished, running, or ended without a record; no lock is needed."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from raypipe.core.errors import OptionError, SetupError
from raypipe.core.exit_codes import OK, STOPPED
from raypipe.ledger import run_records
from raypipe.ledger.lock_owner import LOCK_NAME, LockOwner, decode_owner
from raypipe.ledger.run_progress import FILE, RunProgress, load_progress
from raypipe.ledger.run_records import RunRecord
from raypipe.state.store import State, StateError

RUNNING = "running"
KILLED = "killed"
"""Status of a run that ended without a record, by a kill, a crash or a power failure."""
UNREADABLE = "unreadable"
"""Status of a run in a list whose record is damaged, or of a newer raypipe."""

FRESH_S = 30.0
"""Age of a progress up to which its run is alive: a run writes it every 10 s."""
WATCH_S = 12.0
"""How long the heartbeat of another host is watched: two intervals of 5 s, and a margin."""

_NAME = re.compile(rf"{run_records.FOLDER}/([0-9A-Za-z]+-(\d+))/(run\.json|{re.escape(FILE)})")


@dataclass(frozen=True)
class RunState:
    """A run, as its state shows it.

    Args:
        run_id: Id of the run; '' for a run that has written nothing yet.
        run_seq: Number of the run.
        status: `running`, `killed`, `unreadable`, or the status of the record: `done`, `failed`,
            `stopped` or `error`.
        record: Its record; None until it ends.
        progress: Its last progress; None if it wrote none, or has a record.
        owner: The process that runs it; None for a run that has ended.
        problem: Why it is unreadable, and what to do; '' if it is not.
    """

    run_id: str
    run_seq: int
    status: str
    record: RunRecord | None = None
    progress: RunProgress | None = None
    owner: LockOwner | None = None
    problem: str = ""

    @property
    def exit_code(self) -> int:
        """Return the exit code of the run; 0 while it runs, 4 if it was killed."""
        if self.record is not None and self.record.exit_code is not None:
            return self.record.exit_code
        return STOPPED if self.status == KILLED else OK


NO_RUN = RunState("", 0, "none")
"""Status of a state in which no run has begun."""


@dataclass(frozen=True)
class RunReport:
    """A run for JSON: a `RunState` whose owner is a text.

    Args:
        run_id: Id of the run; '' for a run that has written nothing yet.
        run_seq: Number of the run.
        status: `running`, `killed`, `unreadable`, `none`, or the status of the record.
        exit_code: Exit code of the run; 0 while it runs, 4 if it was killed.
        owner: Run, host, process and start of a running run; '' for a run that has ended.
        record: Its record; None until it ends.
        progress: Its last progress; None if it wrote none, or has a record.
    """

    run_id: str
    run_seq: int
    status: str
    exit_code: int
    owner: str
    record: RunRecord | None
    progress: RunProgress | None

    @classmethod
    def of(cls, run: RunState) -> RunReport:
        """Return the report of a run."""
        owner = str(run.owner) if run.owner else ""
        code = run.exit_code
        return cls(run.run_id, run.run_seq, run.status, code, owner, run.record, run.progress)


def list_run_ids(state: State) -> list[str]:
    """Return the ids of all runs that left a record or a progress, the newest first.

    Raises:
        StateError: The state cannot be read.
    """
    matches = (_NAME.fullmatch(name) for name in state.list(f"{run_records.FOLDER}/"))
    found = {(int(match[2]), match[1]) for match in matches if match}
    return [run_id for _, run_id in sorted(found, reverse=True)]


def read_run(
    state: State,
    run_id: str,
    *,
    silent: set[LockOwner] | None = None,
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> RunState:
    """Return a run; for a run on another host without a fresh progress, its heartbeat is watched.

    Args:
        state: The state.
        run_id: Id of the run, of `list_run_ids`.
        silent: Owners without a heartbeat so far, see `is_alive`.
        clock: Seconds since the epoch.
        sleep: Waits that many seconds.

    Raises:
        SetupError: The record or the lock is damaged, or the state cannot be read.
    """
    run_seq = int(run_id.rpartition("-")[2])
    record = run_records.load(state, run_id)
    if record is None:
        owner, progress = read_owner(state), load_progress(state, run_id)
        record = run_records.load(state, run_id)  # the run may have ended meanwhile
    if record is not None:
        return RunState(run_id, run_seq, record.status, record)
    if owner is None or owner.run_seq != run_seq:
        return RunState(run_id, run_seq, KILLED, None, progress)
    age = progress.age_s(clock()) if progress else None
    if (age is not None and age <= FRESH_S) or is_alive(state, owner, silent, sleep):
        return RunState(run_id, run_seq, RUNNING, None, progress, owner)
    return RunState(run_id, run_seq, KILLED, None, progress)


def read_listed_run(state: State, run_id: str, *, silent: set[LockOwner] | None = None) -> RunState:
    """Return a run of a list, where a damaged record must not hide the other runs.

    Args:
        state: The state.
        run_id: Id of the run, of `list_run_ids`.
        silent: As for `read_run`.

    Raises:
        StateError: The state cannot be read.
    """
    try:
        return read_run(state, run_id, silent=silent)
    except StateError:
        raise
    except SetupError as error:
        run_seq = int(run_id.rpartition("-")[2])
        return RunState(run_id, run_seq, UNREADABLE, problem=str(error))


def find_run(state: State, name: str, *, silent: set[LockOwner] | None = None) -> RunState:
    """Return the run with this id or number; the newest run if the name is empty.

    Args:
        state: The state.
        name: Id or number of a run, or an empty text.
        silent: Owners without a heartbeat so far, see `is_alive`.

    Raises:
        OptionError: There is no such run.
        SetupError: A record or the lock is damaged, or the state cannot be read.
    """
    # Before the listing, which has the record of a run that ends meanwhile.
    owner = None if name else _read_holder(state)
    ids = list_run_ids(state)
    if not name:
        newest = read_run(state, ids[0], silent=silent) if ids else NO_RUN
        if owner is not None and owner.run_seq > newest.run_seq:
            if not owner.has_ended and is_alive(state, owner, silent):
                return RunState("", owner.run_seq, RUNNING, owner=owner)
            return RunState("", owner.run_seq, KILLED)  # before its first progress
        return newest
    number = name.lstrip("0") if name.isdecimal() else None
    for run_id in ids:
        if name == run_id or number == run_id.rpartition("-")[2].lstrip("0"):
            return read_run(state, run_id, silent=silent)
    known = ", ".join(ids[:3]) or "none"
    raise OptionError(f"run={name}: there is no such run; the newest are {known} (`raypipe runs`)")


def read_owner(state: State) -> LockOwner | None:
    """Return the process that holds the writer lock; None if no process does.

    Raises:
        SetupError: The lock is damaged, or the state cannot be read.
    """
    owner = _read_holder(state)
    return None if owner is None or owner.has_ended else owner


def _read_holder(state: State) -> LockOwner | None:
    """Return the process that has not released the writer lock; it may have been killed."""
    data = state.get(LOCK_NAME)
    owner = decode_owner(data, state) if data else None
    return owner if owner is not None and owner.held else None


def is_alive(
    state: State,
    owner: LockOwner,
    silent: set[LockOwner] | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> bool:
    """Return whether the owner still runs; the heartbeat of another host is watched for 12 s.

    Args:
        state: The state.
        owner: The owner of its writer lock.
        silent: Owners that were watched without a heartbeat. An owner in it is not watched again,
            and this owner is added if it gives no heartbeat; None to watch in any case. With each
            heartbeat, a process becomes another owner.
        sleep: Waits that many seconds.

    Raises:
        SetupError: The lock is damaged, or the state cannot be read.
    """
    if owner.is_local:
        return True
    if silent is not None and owner in silent:
        return False
    has_heartbeat = _has_heartbeat(state, owner, sleep)
    if silent is not None and not has_heartbeat:
        silent.add(owner)
    return has_heartbeat


def _has_heartbeat(state: State, first: LockOwner, sleep: Callable[[float], None]) -> bool:
    for _ in range(int(WATCH_S)):
        sleep(1.0)
        if (owner := read_owner(state)) != first:
            return owner is not None
    return False
