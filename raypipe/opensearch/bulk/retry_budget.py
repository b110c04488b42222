"""Bound the time of retries; the bound shrinks once the run is asked to stop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from raypipe.core.stop import StopCheck, never_stopped

STOP_BUDGET_S = 8.0
"""Seconds that retries may still take once the run is asked to stop."""
_STOP_POLL_S = 1.0
"""Interval in which a waiting writer checks whether the run is asked to stop."""


@dataclass
class RetryBudget:
    """The time that a writer may spend on retries.

    Args:
        max_s: Seconds after its first failure in which a document may be sent again.
        stop_check: Returns the stop reason, or ''.
        wait: Waits that many seconds.
        clock: Monotonic seconds.
    """

    max_s: float
    stop_check: StopCheck
    wait: Callable[[float], None]
    clock: Callable[[], float]
    _is_stopped: bool = field(default=False, init=False)

    def sleep(self, seconds: float) -> None:
        """Sleep, but return early when the run is asked to stop."""
        end = self.clock() + seconds
        while (left := end - self.clock()) > 0:
            self.wait(left if self.stop_check is never_stopped else min(left, _STOP_POLL_S))
            if self.is_stopped():
                return

    def limit_s(self) -> float:
        """Return the seconds after its first failure in which a document may be sent again."""
        return min(self.max_s, STOP_BUDGET_S) if self.is_stopped() else self.max_s

    def is_stopped(self) -> bool:
        """Return whether the run was asked to stop."""
        self._is_stopped = self._is_stopped or bool(self.stop_check())
        return self._is_stopped
