"""The coordinator of a run whose workers are threads of this process."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from raypipe.coordination.run_coordinator import Progress, RunCoordinator, StartDecision, Usage

_runs: dict[str, tuple[RunCoordinator, threading.Lock]] = {}


class RunEndedError(Exception):
    """A thread that was given up reports to a run that has ended."""


@dataclass(frozen=True)
class LocalCoordinator:
    """A reference to the coordinator of a run in this process; pickles to its key.

    Once the run has ended, every call raises `RunEndedError`. So a thread that hangs in a request
    while the run stops writes nothing more to the ledger when the request ends.

    Args:
        key: Key of the run in this process.
    """

    key: str

    def start(self, stage: str, ids: Sequence[str], *, isolated: bool = False) -> StartDecision:
        """Record that a stage starts these books; see `Coordinator.start`."""
        decision: StartDecision = self._call("start", stage, ids, isolated)
        return decision

    def finish(self, stage: str, ids: Sequence[str], seconds: float = 0.0) -> None:
        """Forget the starts of books that came out of a stage."""
        self._call("finish", stage, ids, seconds)

    def report(self, done: int, failures: Sequence[str], left: int, usage: Usage) -> None:
        """Count books with a final outcome."""
        self._call("report", done, failures, left, usage)

    def acquire_slot(self, who: str) -> bool:
        """Return whether this writer may send a request now."""
        return bool(self._call("acquire_slot", who))

    def release_slot(self, who: str, *, refused: bool) -> None:
        """Record that a request came back."""
        self._call("release_slot", who, refused)

    def stop(self, reason: str) -> None:
        """Stop the run: no further book is started."""
        self._call("stop", reason)

    def stop_reason(self) -> str:
        """Return the stop reason, or '' to continue."""
        return str(self._call("stop_reason"))

    def progress(self) -> Progress:
        """Return the counts so far."""
        progress: Progress = self._call("progress")
        return progress

    def node_id(self) -> str:
        """Return '': there are no nodes."""
        return ""

    def _call(self, method: str, *args: Any) -> Any:
        try:
            coordinator, lock = _runs[self.key]
        except KeyError:
            raise RunEndedError from None
        with lock:
            return getattr(coordinator, method)(*args)


@contextmanager
def coordinate_in_process(coordinator: RunCoordinator) -> Iterator[LocalCoordinator]:
    """Yield the reference by which the threads of a run call its coordinator."""
    key = uuid.uuid4().hex
    _runs[key] = coordinator, threading.Lock()
    try:
        yield LocalCoordinator(key)
    finally:
        del _runs[key]
