"""Count quota as Bedrock does: reserve at admission, settle the actual use, refund the rest.

A call reserves input tokens + max_tokens; it settles input + burndown x output (AWS, "Token
burndown and quotas in Amazon Bedrock"). The quota of a minute flows continuously into a bucket
that holds `capacity_s` seconds of it.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from raypipe.simulator.calls import CallRefused
from raypipe.simulator.options import ServerQuotaOptions

DAY_S = 86_400.0
Clock = Callable[[], float]
"""Return monotonic seconds."""


class TokenBucket:
    """A bucket that fills continuously. Its level may fall below 0; the overflow is lost.

    Args:
        per_minute: Inflow a minute.
        capacity_s: Seconds of inflow that the bucket holds.
        start_level: Filled share at the beginning.
        clock: Monotonic seconds.
        min_capacity: Capacity that the bucket has even with a slow inflow.
    """

    def __init__(
        self,
        per_minute: float,
        capacity_s: float,
        start_level: float,
        clock: Clock,
        min_capacity: float,
    ) -> None:
        self._clock = clock
        self._min_capacity = min_capacity
        self._updated_at = clock()
        self._set_rate(per_minute, capacity_s)
        self._level = self.capacity * start_level

    def _set_rate(self, per_minute: float, capacity_s: float) -> None:
        self.per_minute = per_minute
        self.capacity = max(self._min_capacity, per_minute / 60 * capacity_s)

    @property
    def level(self) -> float:
        """Current content."""
        now = self._clock()
        inflow = (now - self._updated_at) * self.per_minute / 60
        self._level, self._updated_at = min(self.capacity, self._level + inflow), now
        return self._level

    def wait_s(self, amount: float) -> float:
        """Return the seconds until `amount` is available; 0 for now, infinity for never.

        An amount above the capacity, but within a minute's quota, is available once the bucket
        is full, and leaves a debt. Otherwise a small quota could admit no call at all.
        """
        if amount > max(self.per_minute, self.capacity):
            return inf
        missing = min(amount, self.capacity) - self.level
        return max(0.0, missing / (self.per_minute / 60))

    def take(self, amount: float) -> None:
        """Take an amount out; a negative amount is put back."""
        self._level = min(self.capacity, self.level - amount)

    def change(self, per_minute: float, capacity_s: float) -> None:
        """Change the inflow from now on; keep the content up to the new capacity."""
        level = self.level
        self._set_rate(per_minute, capacity_s)
        self._level = min(self.capacity, level)


class Quota:
    """The quota of a model.

    Args:
        options: Limits.
        clock: Monotonic seconds.
    """

    def __init__(self, options: ServerQuotaOptions, clock: Clock) -> None:
        self._clock = clock
        self._options = options
        self._tokens = self._create_bucket(options.tokens_per_minute, 0.0)
        self._requests = self._create_bucket(options.requests_per_minute, 1.0)
        self._day_started_at = clock()
        self._day_used = 0.0
        self._first_call_at: float | None = None
        self._integrated_until = 0.0
        self._integral = 0.0
        self.settled = 0.0

    def _create_bucket(self, per_minute: int | None, min_capacity: float) -> TokenBucket | None:
        options = self._options
        if per_minute is None:
            return None
        return TokenBucket(
            per_minute, options.capacity_s, options.start_level, self._clock, min_capacity
        )

    def admit(self, tokens: int) -> None:
        """Reserve tokens for a call.

        Raises:
            CallRefused: The tokens are not available; nothing is reserved.
        """
        wait = self._requests.wait_s(1) if self._requests else 0.0
        if wait > 0:
            raise CallRefused("throttle_requests", retry_after_s=wait)
        wait = self._tokens.wait_s(tokens) if self._tokens else 0.0
        if wait > 0:
            raise CallRefused("throttle", retry_after_s=None if wait == inf else wait)
        if (wait := self._day_wait_s(tokens)) > 0:
            raise CallRefused("throttle_day", retry_after_s=wait)
        self._take(tokens)
        if self._requests:
            self._requests.take(1)
        if self._first_call_at is None:
            self._first_call_at = self._integrated_until = self._clock()

    def settle(self, reserved: int, used: float) -> None:
        """Refund reserved tokens that were not used, or take used tokens beyond the reservation."""
        self._take(used - reserved)
        self.settled += used

    def change(self, options: ServerQuotaOptions) -> None:
        """Change the limits from now on."""
        self.integral()
        self._options = options
        self._tokens = self._change_bucket(self._tokens, options.tokens_per_minute, 0.0)
        self._requests = self._change_bucket(self._requests, options.requests_per_minute, 1.0)

    def _change_bucket(
        self, bucket: TokenBucket | None, per_minute: int | None, min_capacity: float
    ) -> TokenBucket | None:
        if bucket is None or per_minute is None:
            return self._create_bucket(per_minute, min_capacity)
        bucket.change(per_minute, self._options.capacity_s)
        return bucket

    def integral(self) -> float | None:
        """Return the tokens that the quota allowed since the first call; None without a limit."""
        now = self._clock()
        if self._first_call_at is not None and self._tokens is not None:
            self._integral += (now - self._integrated_until) * self._tokens.per_minute / 60
        self._integrated_until = now
        return self._integral if self._tokens is not None else None

    def state(self) -> dict[str, float | None]:
        """Return levels, settled tokens, the tokens that the quota allowed, and their ratio."""
        integral = self.integral()
        return {
            "tokens_level": round(self._tokens.level, 1) if self._tokens else None,
            "requests_level": round(self._requests.level, 2) if self._requests else None,
            "day_used": round(self._day_used, 1),
            "settled": round(self.settled, 1),
            "integral": None if integral is None else round(integral, 1),
            "utilization": round(self.settled / integral, 4) if integral else None,
        }

    def _take(self, tokens: float) -> None:
        self._day_used += tokens
        if self._tokens:
            self._tokens.take(tokens)

    def _day_wait_s(self, tokens: int) -> float:
        """Return the seconds until the daily quota admits a call; start a new day if it is due."""
        passed = self._clock() - self._day_started_at
        if passed >= DAY_S:
            self._day_started_at += passed // DAY_S * DAY_S
            self._day_used = 0.0
        limit = self._options.tokens_per_day
        if limit is None or self._day_used + tokens <= limit:
            return 0.0
        return max(1.0, self._day_started_at + DAY_S - self._clock())
