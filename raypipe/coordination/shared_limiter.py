"""Share the limit on concurrent bulk requests among all write tasks of a run."""

from __future__ import annotations

import time
from dataclasses import dataclass

from raypipe.coordination.run_coordinator import Coordinator

_POLL_S = 0.2
"""Interval in which a waiting writer asks for its slot again."""


@dataclass(frozen=True)
class SharedLimiter:
    """The limiter of one bulk writer; the run's coordinator counts the requests in flight.

    Args:
        coordinator: The run's coordinator.
        writer: Name of the writer; a repeated task has the name, and the slot, of its first
            attempt.
    """

    coordinator: Coordinator
    writer: str

    def acquire(self) -> None:
        """Wait until a request may be sent."""
        while not self.coordinator.acquire_slot(self.writer):
            time.sleep(_POLL_S)

    def release(self, *, overloaded: bool) -> None:
        """Note that the request has ended, and whether the server refused it as overloaded."""
        self.coordinator.release_slot(self.writer, refused=overloaded)
