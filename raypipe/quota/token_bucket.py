"""A bucket that fills continuously, for tokens or for requests."""

from __future__ import annotations

from math import inf

DEPTH_S = 3.0
"""Seconds of quota that a bucket holds. Bedrock refills continuously and does not say how much it
keeps (the model server's holds 5 s), so what is saved up for longer may not be there."""

_NEARLY = 0.8
_NOTHING = 1e-3
"""Sums of fractions must not keep out a call that fits exactly."""


class TokenBucket:
    """What may be taken now; it starts empty, and its level falls below 0 where a need was larger.

    It begins to fill when it is first looked at: a server's own may be made by the first call.

    Args:
        per_s: What flows in each second; infinite = there is always enough.
        least: It holds at least this much, however slowly it fills.
    """

    def __init__(self, per_s: float, least: float = 0.0) -> None:
        self._least = least
        self._at: float | None = None
        self._per_s = per_s
        self.level = 0.0

    @property
    def per_s(self) -> float:
        """What flows in each second."""
        return self._per_s

    @property
    def nearly_full(self) -> bool:
        """Whether it is not what holds calls back."""
        return self._per_s == inf or self.level >= _NEARLY * self.depth

    @property
    def depth(self) -> float:
        """The most that it holds."""
        return max(self._least, self._per_s * DEPTH_S)

    def flow(self, now: float, per_s: float) -> None:
        """Let in what came since the last time; from now on it flows at another rate."""
        passed = 0.0 if self._at is None else max(0.0, now - self._at)
        if self._per_s != inf:
            self.level = min(self.depth, self.level + passed * self._per_s)
        self._at, self._per_s = now, per_s

    def lacking_s(self, need: float) -> float:
        """Return the seconds until `need` can be had; what is more than it holds waits for full."""
        if self._per_s == inf:
            return 0.0
        lacking = min(need, self.depth) - self.level
        return lacking / self._per_s if lacking > _NOTHING else 0.0

    def take(self, amount: float) -> None:
        """Take out (or, below 0, put back)."""
        if self._per_s != inf:
            self.level = min(self.depth, self.level - amount)

    def refused(self, need: float, waits: bool) -> None:
        """Drain it: the server has less than we thought, perhaps nothing.

        Args:
            need: What was refused.
            waits: The server said when to come again, so that what the need has beyond the
                bucket need not be saved up here.
        """
        beyond = 0.0 if waits else max(0.0, need - self.depth)
        self.level = min(self.level, -beyond)
