"""Stop a run in which most books fail, or in which the first books all fail alike."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from raypipe.core.options import BreakerOptions


@dataclass
class Breaker:
    """Watch the outcomes of books at one place of the graph.

    Args:
        options: When the breaker trips.
    """

    options: BreakerOptions
    _first: list[str] = field(default_factory=list)
    _recent_failed: deque[bool] = field(default_factory=deque)

    def record(self, outcomes: Sequence[str]) -> str:
        """Record outcomes in their order; return why the run must stop, or ''.

        Args:
            outcomes: The failure kind of each book; '' for a success.
        """
        room = self.options.first - len(self._first)
        self._first.extend(outcomes[: max(room, 0)])
        self._recent_failed.extend(outcome != "" for outcome in outcomes)
        while len(self._recent_failed) > self.options.window:
            self._recent_failed.popleft()
        return self._reason()

    def _reason(self) -> str:
        first = self.options.first
        if first and len(self._first) == first and self._first[0] and len(set(self._first)) == 1:
            return f"the first {first} books all failed alike ({self._first[0]})"
        window = self.options.window
        if window and len(self._recent_failed) == window:
            failed = sum(self._recent_failed)
            if failed > self.options.max_share * window:
                return f"{failed} of the last {window} books failed"
        return ""
