"""How long a writer waits: less once the run is asked to stop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from raypipe.core.stop import never_stopped

STOP_BUDGET_S = 8.0
"""Seconds in which a server in trouble may still take documents once the run is asked to stop."""
_LOOK_S = 1.0
"""A writer that rests looks so often whether the run is asked to stop."""


@dataclass
class RetryBudget:
    """A writer's waits.

    Args:
        most_s: Seconds that documents have to be taken after their first failure.
        stopped: Returns something while the run is asked to stop.
        sleep: Waits that many seconds.
        clock: Seconds, only ever growing.
    """

    most_s: float
    stopped: Callable[[], object]
    sleep: Callable[[float], None]
    clock: Callable[[], float]
    _stopped_at: float | None = field(default=None, init=False)

    def rest(self, seconds: float) -> None:
        """Sleep, but wake up when the run is asked to stop."""
        end = self.clock() + seconds
        while (left := end - self.clock()) > 0:
            self.sleep(left if self.stopped is never_stopped else min(left, _LOOK_S))
            if self.is_over():
                return

    def budget_s(self) -> float:
        """Return the seconds that documents have to be taken after their first failure."""
        return min(self.most_s, STOP_BUDGET_S) if self.is_over() else self.most_s

    def is_over(self) -> bool:
        """Whether the run was asked to stop."""
        if self._stopped_at is None and self.stopped():
            self._stopped_at = self.clock()
        return self._stopped_at is not None
