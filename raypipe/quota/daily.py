"""The quota of a day: nothing spins until tomorrow."""

from __future__ import annotations

DAY_S = 86_400.0
"""Tokens per day are counted over 24 hours; AWS does not say from when, so from the first call."""
TRY_S = 900.0
"""After a refusal for the day, the next call is tried no later than this: the day may end sooner
than the server says, or somebody raises the quota, and a refused call costs nothing."""


class DailyQuota:
    """Counts quota tokens of 24 hours.

    Args:
        most: Tokens of a day; None = no limit is known.
        now: Seconds, monotonic.
    """

    def __init__(self, most: int | None, now: float) -> None:
        self.most = most
        self._began = now
        self._used = 0.0
        self._closed_until = 0.0

    def lacking_s(self, need: float, now: float) -> float:
        """Return the seconds until a call may be tried; 0 = now."""
        if now - self._began >= DAY_S:
            self._began, self._used = now, 0.0
        if now < self._closed_until:
            return self._closed_until - now
        if self.most is None or self._used + need <= self.most:
            return 0.0
        return self._began + DAY_S - now

    def take(self, tokens: float) -> None:
        """Count tokens (or, below 0, give them back)."""
        self._used += tokens

    def refused(self, now: float, retry_after_s: float | None) -> None:
        """Note that the server has no more for today."""
        wait = TRY_S if retry_after_s is None else min(TRY_S, retry_after_s)
        self._closed_until = max(self._closed_until, now + wait)

    def says(self, need: float, now: float) -> str:
        """Say for a person why nothing goes on; an empty string = it does."""
        wait = self.lacking_s(need, now)
        if wait <= 0:
            return ""
        closed = now < self._closed_until
        why = (
            "the server says that the quota of the day is used up"
            if closed
            else f"quota.tokens_per_day={self.most} is used up"
        )
        minutes = max(1, round(wait / 60))
        return f"{why}; the next call is tried in {minutes} min (a stop leaves the rest for later)"
