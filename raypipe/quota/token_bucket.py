"""A bucket that fills continuously, for tokens or for requests."""

from __future__ import annotations

from math import inf

DEPTH_S = 3.0
"""Seconds of quota that a bucket holds. Bedrock refills continuously and does not document how much
it saves up (the simulated model server's bucket holds 5 s), so savings from longer ago may not be
there."""

_NEARLY_FULL = 0.8
_TOLERANCE = 1e-3
"""Rounding of sums must not refuse a call that fits exactly."""


class TokenBucket:
    """The amount that may be taken now.

    The bucket starts empty, and begins to fill when it is first used: a server may create its
    bucket at the first call, too. The level falls below 0 after an amount that was larger than the
    bucket.

    Args:
        per_s: Inflow per second; infinite for no limit.
        min_depth: The bucket holds at least this amount, however slowly it fills.
    """

    def __init__(self, per_s: float, min_depth: float = 0.0) -> None:
        self._min_depth = min_depth
        self._updated_at: float | None = None
        self._per_s = per_s
        self.level = 0.0

    @property
    def per_s(self) -> float:
        """Return the inflow per second."""
        return self._per_s

    @property
    def is_nearly_full(self) -> bool:
        """Return whether the bucket does not delay calls."""
        return self._per_s == inf or self.level >= _NEARLY_FULL * self.depth

    @property
    def depth(self) -> float:
        """Return the maximum level."""
        return max(self._min_depth, self._per_s * DEPTH_S)

    def refill(self, now: float, per_s: float) -> None:
        """Add the inflow since the last call.

        Args:
            now: Monotonic seconds.
            per_s: Inflow per second from now on.
        """
        elapsed_s = 0.0 if self._updated_at is None else max(0.0, now - self._updated_at)
        if self._per_s != inf:
            self.level = min(self.depth, self.level + elapsed_s * self._per_s)
        self._updated_at, self._per_s = now, per_s

    def wait_s(self, amount: float) -> float:
        """Return the seconds until an amount can be taken.

        An amount larger than the bucket waits for a full bucket.
        """
        if self._per_s == inf:
            return 0.0
        missing = min(amount, self.depth) - self.level
        return missing / self._per_s if missing > _TOLERANCE else 0.0

    def take(self, amount: float) -> None:
        """Take an amount; a negative amount is put back."""
        if self._per_s != inf:
            self.level = min(self.depth, self.level - amount)

    def drain(self, amount: float, has_retry_after: bool) -> None:
        """Empty the bucket after a refusal: the server has less than assumed, perhaps nothing.

        Args:
            amount: The amount that the server refused.
            has_retry_after: Whether the server named a time to wait. If it did not, an amount
                larger than the bucket has to be saved up here.
        """
        excess = 0.0 if has_retry_after else max(0.0, amount - self.depth)
        self.level = min(self.level, -excess)
