"""Quota as Bedrock counts it: reserve at admission, settle with what was used, refund the rest.

Reserved are input tokens + max_tokens; settled are input + burndown x output (AWS, "Token burndown
and quotas in Amazon Bedrock"). The quota of a minute flows continuously into a bucket that holds
`capacity_s` seconds of it.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from raypipe.simulator.calls import Refused
from raypipe.simulator.options import ServerQuotaOptions

DAY_S = 86_400.0
Clock = Callable[[], float]


class Bucket:
    """A bucket that fills continuously; its level may fall below 0, and what overflows is lost.

    Args:
        per_minute: What flows in.
        capacity_s: How many seconds of that it holds.
        start_level: Share that is full at the beginning.
        clock: Seconds, monotonic.
        least: It holds at least this much, however slowly it fills.
    """

    def __init__(
        self, per_minute: float, capacity_s: float, start_level: float, clock: Clock, least: float
    ) -> None:
        self._clock = clock
        self._least = least
        self._at = clock()
        self._set(per_minute, capacity_s)
        self._level = self.capacity * start_level

    def _set(self, per_minute: float, capacity_s: float) -> None:
        self.per_minute = per_minute
        self.capacity = max(self._least, per_minute / 60 * capacity_s)

    @property
    def level(self) -> float:
        """What is in it now."""
        now = self._clock()
        flown = (now - self._at) * self.per_minute / 60
        self._level, self._at = min(self.capacity, self._level + flown), now
        return self._level

    def lacking_s(self, need: float) -> float:
        """Return the seconds until `need` can be had; 0 = now, infinite = never.

        What is more than the bucket holds, but no more than a minute's quota, goes in when the
        bucket is full and leaves a debt: otherwise a small quota could admit no call at all.
        """
        if need > max(self.per_minute, self.capacity):
            return inf
        lacking = min(need, self.capacity) - self.level
        return max(0.0, lacking / (self.per_minute / 60))

    def take(self, amount: float) -> None:
        """Take out (or, below 0, put back)."""
        self._level = min(self.capacity, self.level - amount)

    def change(self, per_minute: float, capacity_s: float) -> None:
        """Let it fill at another rate from now on; what is in it stays, as far as it fits."""
        level = self.level
        self._set(per_minute, capacity_s)
        self._level = min(self.capacity, level)


class Quota:
    """The quota of one model.

    Args:
        options: Its numbers.
        clock: Seconds, monotonic.
    """

    def __init__(self, options: ServerQuotaOptions, clock: Clock) -> None:
        self._clock = clock
        self._options = options
        self._tokens = self._bucket(options.tokens_per_minute, 0.0)
        self._requests = self._bucket(options.requests_per_minute, 1.0)
        self._day_at = clock()
        self._day_used = 0.0
        self._first: float | None = None
        self._counted_to = 0.0
        self._integral = 0.0
        self.settled = 0.0

    def _bucket(self, per_minute: int | None, least: float) -> Bucket | None:
        options = self._options
        if per_minute is None:
            return None
        return Bucket(per_minute, options.capacity_s, options.start_level, self._clock, least)

    def admit(self, tokens: int) -> None:
        """Reserve tokens for one request.

        Raises:
            Refused: They are not there; nothing was taken.
        """
        wait = self._requests.lacking_s(1) if self._requests else 0.0
        if wait > 0:
            raise Refused("throttle_requests", retry_after_s=wait)
        wait = self._tokens.lacking_s(tokens) if self._tokens else 0.0
        if wait > 0:
            raise Refused("throttle", retry_after_s=None if wait == inf else wait)
        if (day := self._day_lacking_s(tokens)) > 0:
            raise Refused("throttle_day", retry_after_s=day)
        self._take(tokens)
        if self._requests:
            self._requests.take(1)
        if self._first is None:
            self._first = self._counted_to = self._clock()

    def settle(self, reserved: int, used: float) -> None:
        """Give back what was reserved and not used, or take what was used beyond."""
        self._take(used - reserved)
        self.settled += used

    def change(self, options: ServerQuotaOptions) -> None:
        """Go on with other numbers."""
        self.integral()
        self._options = options
        self._tokens = self._changed(self._tokens, options.tokens_per_minute, 0.0)
        self._requests = self._changed(self._requests, options.requests_per_minute, 1.0)

    def _changed(self, bucket: Bucket | None, rate: int | None, least: float) -> Bucket | None:
        if bucket is None or rate is None:
            return self._bucket(rate, least)
        bucket.change(rate, self._options.capacity_s)
        return bucket

    def integral(self) -> float | None:
        """Return the tokens that the quota let through since the first call; None = no limit."""
        now = self._clock()
        if self._first is not None and self._tokens is not None:
            self._integral += (now - self._counted_to) * self._tokens.per_minute / 60
        self._counted_to = now
        return self._integral if self._tokens is not None else None

    def state(self) -> dict[str, float | None]:
        """Return the levels, settled tokens and what the quota could have let through."""
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

    def _day_lacking_s(self, tokens: int) -> float:
        passed = self._clock() - self._day_at
        if passed >= DAY_S:
            self._day_at += passed // DAY_S * DAY_S
            self._day_used = 0.0
        most = self._options.tokens_per_day
        if most is None or self._day_used + tokens <= most:
            return 0.0
        return max(1.0, self._day_at + DAY_S - self._clock())
