"""Daily token quota; waits instead of polling once it is used up."""

from __future__ import annotations

DAY_S = 86_400.0
"""Tokens per day are counted over 24 hours from the first call: AWS does not document when its day
begins."""
MAX_RETRY_S = 900.0
"""Upper bound of the wait after the server refused for the day. The day may end sooner than the
server says, or someone may raise the quota, and a refused call costs nothing."""


class DailyQuota:
    """Count quota tokens over 24 hours.

    Args:
        limit: Tokens per day; None if no limit is known.
        now: Monotonic seconds.
    """

    def __init__(self, limit: int | None, now: float) -> None:
        self.limit = limit
        self._began = now
        self._used = 0.0
        self._closed_until = 0.0

    def wait_s(self, tokens: float, now: float) -> float:
        """Return the seconds until a call of that many tokens may be tried; 0 for now."""
        if now - self._began >= DAY_S:
            self._began, self._used = now, 0.0
        if now < self._closed_until:
            return self._closed_until - now
        if self.limit is None or self._used + tokens <= self.limit:
            return 0.0
        return self._began + DAY_S - now

    def take(self, tokens: float) -> None:
        """Count tokens; a negative number gives tokens back."""
        self._used += tokens

    def close(self, now: float, retry_after_s: float | None) -> None:
        """Pause: the server says that the daily quota is used up.

        Args:
            now: Monotonic seconds.
            retry_after_s: Seconds that the server asked to wait; None if it named no time.
        """
        pause_s = MAX_RETRY_S if retry_after_s is None else min(MAX_RETRY_S, retry_after_s)
        self._closed_until = max(self._closed_until, now + pause_s)

    def pause_reason(self, tokens: float, now: float) -> str:
        """Return why no call begins, for messages; '' if calls begin."""
        wait_s = self.wait_s(tokens, now)
        if wait_s <= 0:
            return ""
        cause = (
            "the server says that the quota of the day is used up"
            if now < self._closed_until
            else f"quota.tokens_per_day={self.limit} is used up"
        )
        minutes = max(1, round(wait_s / 60))
        return (
            f"{cause}; the next call is tried in {minutes} min (a stop leaves the remaining books "
            "to a later run)"
        )
