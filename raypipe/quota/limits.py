"""The limits of one pool together: tokens and requests a minute, tokens a day, and refusals."""

from __future__ import annotations

from math import inf

from raypipe.core.options import QuotaOptions
from raypipe.quota.daily import DailyQuota
from raypipe.quota.protocol import CallOutcome, CallRequest
from raypipe.quota.rate_estimator import RateEstimator
from raypipe.quota.reservation import AnswerLengths, reservation
from raypipe.quota.token_bucket import TokenBucket

FREEZE_S = 1.0
"""Pause after a refusal that does not say how long to wait, as Bedrock's do not. Nothing is lost
by it: what flows into the server's bucket meanwhile is granted afterwards."""
LOOK_S = 0.25
"""How often a rate that grows is looked at again while a call waits for tokens."""

ALONE_S = 5.0
"""The first call of all goes alone, until something is known of it or this time is over. A server's
bucket may be made by it, empty; and a process that makes its first call takes seconds to be ready,
so that many would come at once. What flows in meanwhile is in the bucket."""
LONG_S = 90.0
"""A pause longer than this is told."""
LATE_S = 0.5
"""A full bucket loses what flows in until a call arrives, and a call that is larger than the bucket
is let in only when it is full: each such call is given this much time for its way."""


class Limits:
    """When a call may go, and what is learned from what became of it.

    Args:
        options: The quota.
        burndown: Quota tokens that one output token costs.
        now: Seconds, monotonic.
    """

    def __init__(self, options: QuotaOptions, burndown: float, now: float) -> None:
        self._managed = options.managed
        self._burndown = burndown
        self._answers = AnswerLengths()
        tokens = options.tokens_per_minute if options.managed else None
        requests = options.requests_per_minute if options.managed else None
        self._minute = inf if tokens is None else float(tokens)
        self._rate = RateEstimator(self._minute / 60, now)
        self._tokens = TokenBucket(self._minute / 60)
        self._requests = TokenBucket(inf if requests is None else requests / 60, least=1.0)
        self._day = DailyQuota(options.tokens_per_day if options.managed else None, now)
        self._frozen_until = now
        self._alone_until: float | None = None  # None = no call went yet
        self._net = 0.0  # let through so far
        self._ahead = 0.0  # charged to calls in flight, and not yet by the server

    @property
    def tokens_per_minute(self) -> float | None:
        """The rate that is tried now; None = no limit is known."""
        return None if self._rate.per_s == inf else self._rate.per_s * 60

    def reserved(self, need: CallRequest) -> float:
        """Return the quota tokens that a call is charged with until it is settled."""
        if not self._managed:
            return 0.0
        # What is beyond a minute's quota by our own caution must not keep a call out for good.
        return min(self._minute, reservation(need, self._burndown, self._answers.expected(need)))

    def has_plenty(self, now: float) -> bool:
        """Whether the next calls may go whatever they take, if not too many are in flight.

        So it is without a quota, and as long as buckets stay nearly full.
        """
        if now < self._frozen_until or self._day.lacking_s(0.0, now) > 0:
            return False
        if not self._managed:
            return True
        alone = self._alone_until is None or now < self._alone_until
        self._flow(now)
        full = self._tokens.nearly_full and self._requests.nearly_full
        return full and not alone and self._day.most is None

    def lacking_s(self, reserved: float, now: float) -> float:
        """Return the seconds until a call may go; 0 = now."""
        if now < self._frozen_until:
            return self._frozen_until - now
        day = self._day.lacking_s(reserved, now)
        if not self._managed:
            return day
        self._rate.begin(reserved)
        self._flow(now)
        if self._alone_until is not None and now < self._alone_until:
            return self._alone_until - now
        tokens, requests = self._tokens.lacking_s(reserved), self._requests.lacking_s(1)
        self._rate.tick(now, limited=tokens > requests)
        if tokens > 0 and self._rate.changes:
            tokens = min(tokens, LOOK_S)
        return max(tokens, requests, day)

    def paused(self, reserved: float, now: float) -> str:
        """Say for a person why no call goes for minutes; an empty string where some do."""
        wait = self._frozen_until - now
        if wait > LONG_S:
            return f"the server asked to wait; the next call is tried in {round(wait / 60)} min"
        return self._day.says(reserved, now)

    def idle(self, now: float) -> None:
        """Nobody waits: the rate is not what holds calls back."""
        self._rate.tick(now, limited=False)

    def take(self, need: CallRequest, reserved: float, now: float) -> None:
        """Charge a call that goes now."""
        if self._alone_until is None:
            self._alone_until = now + ALONE_S
        if reserved > self._tokens.depth:
            self._tokens.take(self._tokens.per_s * LATE_S)
        self._charge(reserved)
        self._requests.take(1)
        self._rate.granted()
        self._ahead += self._beyond(need, reserved)

    def settle(
        self, need: CallRequest, reserved: float, granted: float, spent: CallOutcome, now: float
    ) -> None:
        """Put back what a call did not take, and learn from it.

        Args:
            need: What it asked for.
            reserved: What it was charged with.
            granted: When it went.
            spent: What became of it; where that is unknown, the charge stands.
            now: Seconds.
        """
        self._alone_until = now
        if spent.unknown:
            return
        used = spent.input_tokens + self._burndown * spent.output_tokens
        self._flow(now)
        self._charge(used - reserved if self._managed else 0.0)
        if spent.throttled:
            self._refused(reserved, granted, spent, now)
        elif spent.output_tokens:
            self._answers.add(need, spent.output_tokens)

    def ended(self, need: CallRequest, reserved: float) -> None:
        """Note that a call is no longer in flight, settled or given up."""
        self._ahead -= self._beyond(need, reserved)

    def _beyond(self, need: CallRequest, reserved: float) -> float:
        """Return what a call may take at its end beyond what the server reserves at its start."""
        return max(0.0, reserved - need.input_tokens - need.max_tokens)

    def _flow(self, now: float) -> None:
        self._tokens.flow(now, self._rate.per_s)
        self._requests.flow(now, self._requests.per_s)

    def _charge(self, tokens: float) -> None:
        self._tokens.take(tokens)
        self._net += tokens
        self._day.take(tokens)

    def _refused(self, reserved: float, granted: float, spent: CallOutcome, now: float) -> None:
        wait = spent.retry_after_s
        if spent.daily:
            self._day.refused(now, wait)
            return
        self._frozen_until = max(self._frozen_until, now + (FREEZE_S if wait is None else wait))
        if self._managed:
            self._requests.take(-1)
            beyond = max(0.0, reserved - self._tokens.depth)
            debt = beyond + self._ahead
            self._rate.refused(now, granted, self._net, reserved, debt, lossy=beyond > 0)
            self._tokens.flow(now, self._rate.per_s)
            self._tokens.refused(reserved, waits=wait is not None)
            self._requests.refused(1, waits=wait is not None)
