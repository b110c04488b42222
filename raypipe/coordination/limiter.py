"""How many write tasks may have a request in flight at once: fewer where a server is overloaded."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

_CLEAN = 10
"""Requests without a refusal after which one more may be in flight, as with the bytes of one."""
FORGOTTEN_S = 300.0
"""A request that did not come back for so long belongs to a task that died: it is more than twice
what one may take (`opensearch.connection.timeout_s`, 120 s)."""


@dataclass
class AdaptiveLimiter:
    """Requests in flight of all write tasks: additive increase, multiplicative decrease.

    Halved when a request is refused, once for all requests that were in flight together, and one
    more after ten that were not (D.-M. Chiu and R. Jain, "Analysis of the Increase and Decrease
    Algorithms for Congestion Avoidance in Computer Networks", 1989).

    Args:
        most: Requests in flight where nothing is refused: those of all write tasks.
        clock: Seconds, only ever growing.
    """

    most: int
    clock: Callable[[], float] = time.monotonic
    open: int = field(init=False)
    _held: dict[str, float] = field(default_factory=dict)  # since when
    _clean: int = 0
    _cut_at: float = float("-inf")

    def __post_init__(self) -> None:
        """Begin with the most."""
        self.open = self.most

    def enter(self, who: str) -> bool:
        """Return whether this task may send a request now; if so, it must leave afterwards."""
        now = self.clock()
        self._held = {one: at for one, at in self._held.items() if now - at < FORGOTTEN_S}
        if who not in self._held and len(self._held) >= self.open:
            return False
        self._held[who] = now
        return True

    def leave(self, who: str, refused: bool) -> None:
        """Note that a task's request came back."""
        since = self._held.pop(who, self._cut_at)
        if not refused:
            self._clean += 1
            if self._clean >= _CLEAN:
                self.open, self._clean = min(self.most, self.open + 1), 0
        elif since > self._cut_at:
            self.open, self._clean = max(1, self.open // 2), 0
            self._cut_at = self.clock()
