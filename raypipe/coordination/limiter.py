"""Limit the requests in flight of all write tasks; fewer while the server is overloaded."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

_CLEAN_REQUESTS = 10
"""Requests without a refusal after which the limit grows by one; the size of a bulk request
grows at the same pace."""
FORGOTTEN_S = 300.0
"""Seconds after which a request that did not come back no longer counts: its task has died. This
is more than twice the time that a request may take (`opensearch.connection.timeout_s`, 120 s)."""


@dataclass
class AdaptiveLimiter:
    """Limit requests in flight by additive increase and multiplicative decrease (AIMD).

    A refused request halves the limit, once for all requests that were in flight together. Ten
    requests without a refusal raise it by one (D.-M. Chiu and R. Jain, "Analysis of the Increase
    and Decrease Algorithms for Congestion Avoidance in Computer Networks", 1989).

    Args:
        max_limit: The limit while no request is refused: the requests of all write tasks.
        clock: Monotonic seconds.
    """

    max_limit: int
    clock: Callable[[], float] = time.monotonic
    limit: int = field(init=False)
    _acquired_at: dict[str, float] = field(default_factory=dict)
    _clean_requests: int = 0
    _reduced_at: float = float("-inf")

    def __post_init__(self) -> None:
        """Begin with the highest limit."""
        self.limit = self.max_limit

    def acquire(self, who: str) -> bool:
        """Return whether this writer may send a request now; if so, it must `release` it.

        A writer that already has a slot keeps it: a retried task has the name of the first.
        """
        now = self.clock()
        self._acquired_at = {
            writer: since
            for writer, since in self._acquired_at.items()
            if now - since < FORGOTTEN_S
        }
        if who not in self._acquired_at and len(self._acquired_at) >= self.limit:
            return False
        self._acquired_at[who] = now
        return True

    def release(self, who: str, refused: bool) -> None:
        """Free this writer's slot and adapt the limit.

        Args:
            who: The writer.
            refused: Whether the server refused the request because it is overloaded.
        """
        since = self._acquired_at.pop(who, self._reduced_at)
        if not refused:
            self._clean_requests += 1
            if self._clean_requests >= _CLEAN_REQUESTS:
                self.limit, self._clean_requests = min(self.max_limit, self.limit + 1), 0
        elif since > self._reduced_at:
            self.limit, self._clean_requests = max(1, self.limit // 2), 0
            self._reduced_at = self.clock()
