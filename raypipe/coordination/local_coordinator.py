"""The coordinator of a run whose workers are threads of this process."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from raypipe.coordination.coordinator_handle import CoordinatorHandle
from raypipe.coordination.run_coordinator import RunCoordinator

_runs: dict[str, tuple[RunCoordinator, threading.Lock]] = {}


class RunEndedError(Exception):
    """A thread that was given up reports to a run that has ended."""


@dataclass(frozen=True)
class LocalCoordinator(CoordinatorHandle):
    """A reference to the coordinator of a run in this process; pickles to its key.

    Once the run has ended, every call raises `RunEndedError`. So a thread that hangs in a request
    while the run stops writes nothing more to the ledger when the request ends.

    Args:
        key: Key of the run in this process.
    """

    key: str

    def node_id(self) -> str:
        """Return '': there are no nodes."""
        return ""

    def worker_id(self) -> str:
        """Return '': all threads are in one process."""
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
