"""The progress of a run, `runs/<run_id>/progress.json`, which the run writes while it works."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from raypipe.core.json_record import make_record, read_object
from raypipe.ledger.run_records import FOLDER
from raypipe.state.store import State

FILE = "progress.json"


@dataclass(frozen=True)
class RunProgress:
    """How far a run is.

    Args:
        run_id: Id of the run.
        at: When this was written, ISO 8601, UTC.
        pid_host: Process and host of the run, for messages.
        listed: Books at the source; None if unknown, here and below.
        todo: Books that this run processes.
        done: Books that are done.
        failed: Books that failed.
        left: Books that are neither done nor failed yet.
        calls: Answers of models so far, those of the cache included.
        estimated_calls: Answers of the whole run.
        tokens: `input` and `output` so far.
        usd: Dollars so far.
        rate_per_s: Books a second.
        calls_per_s: Answers a second.
        eta_s: Seconds to the end.
        limit: What the run waits for most.
        memory_bytes: Memory in use.
        stop_reason: Why the run is stopping; '' if it is not.
        failures: Failed books by kind.
    """

    run_id: str = ""
    at: str = ""
    pid_host: str = ""
    listed: int | None = None
    todo: int | None = None
    done: int | None = None
    failed: int | None = None
    left: int | None = None
    calls: int | None = None
    estimated_calls: float | None = None
    tokens: Mapping[str, int] | None = None
    usd: float | None = None
    rate_per_s: float | None = None
    calls_per_s: float | None = None
    eta_s: float | None = None
    limit: str | None = None
    memory_bytes: int | None = None
    stop_reason: str | None = None
    failures: Mapping[str, int] | None = None

    def age_s(self, now: float) -> float | None:
        """Return the seconds since this was written; None if the time is damaged.

        Args:
            now: Seconds since the epoch. The clock of another host may differ.
        """
        with suppress(ValueError):
            moment = datetime.fromisoformat(self.at)
            aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            return max(0.0, now - aware.timestamp())
        return None


def progress_name(run_id: str) -> str:
    """Return the name of a run's progress in its state."""
    return f"{FOLDER}/{run_id}/{FILE}"


def load_progress(state: State, run_id: str) -> RunProgress | None:
    """Return the progress of a run; None if there is none, or if it is damaged.

    Keys of a newer raypipe are ignored.

    Raises:
        StateError: The state cannot be read.
    """
    data = state.get(progress_name(run_id))
    if data is None:
        return None
    known = {item.name for item in dataclasses.fields(RunProgress)}
    with suppress(ValueError):
        values: Mapping[str, Any] = read_object(data)
        kept = {name: value for name, value in values.items() if name in known}
        return make_record(RunProgress, kept)
    return None
