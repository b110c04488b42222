"""All limits of one pool: tokens and requests per minute, tokens per day, and refusals."""

from __future__ import annotations

from math import inf

from raypipe.core.options import QuotaOptions
from raypipe.quota.call_size import AnswerLengths, reserved_tokens
from raypipe.quota.daily import DailyQuota
from raypipe.quota.protocol import CallOutcome, CallRequest
from raypipe.quota.rate_estimator import RateEstimator
from raypipe.quota.token_bucket import TokenBucket

FREEZE_S = 1.0
"""Pause after a refusal that names no time to wait, as Bedrock's do not. Nothing is lost: the
inflow of the server's bucket meanwhile is granted afterwards."""
GROWTH_CHECK_S = 0.25
"""Interval at which a growing rate is looked at again while a call waits for tokens."""
FIRST_CALL_S = 5.0
"""The first call goes alone, until its result is known or this time has passed. The server may
create its bucket, empty, at that call, and a process that makes its first call takes seconds to get
ready, so that many calls would arrive at once. The inflow meanwhile stays in the bucket."""
LONG_PAUSE_S = 90.0
"""A longer pause is reported."""
ARRIVAL_S = 0.5
"""Time that a call larger than the bucket gets to arrive. The server accepts it only when its
bucket is full, and a full bucket loses its inflow until the call arrives."""


class Limits:
    """Decides when a call may begin, and learns from the outcomes of calls.

    Args:
        options: The quota.
        burndown: Quota tokens per output token.
        now: Monotonic seconds.
    """

    def __init__(self, options: QuotaOptions, burndown: float, now: float) -> None:
        self._managed = options.managed
        self._burndown = burndown
        self._answer_lengths = AnswerLengths()
        tokens = options.tokens_per_minute if options.managed else None
        requests = options.requests_per_minute if options.managed else None
        self._max_per_minute = inf if tokens is None else float(tokens)
        self._rate = RateEstimator(self._max_per_minute / 60, now)
        self._tokens = TokenBucket(self._max_per_minute / 60)
        self._requests = TokenBucket(inf if requests is None else requests / 60, min_depth=1.0)
        self._day = DailyQuota(options.tokens_per_day if options.managed else None, now)
        self._frozen_until = now
        self._first_call_until: float | None = None  # None before the first call
        self._accepted = 0.0  # tokens so far
        self._uncharged = 0.0
        """Tokens charged here for calls in flight that the server charges at their end."""

    @property
    def tokens_per_minute(self) -> float | None:
        """Return the rate that is tried now; None if no limit is known."""
        return None if self._rate.per_s == inf else self._rate.per_s * 60

    def reserved_tokens(self, request: CallRequest) -> float:
        """Return the quota tokens that a call is charged until it is settled."""
        if not self._managed:
            return 0.0
        expected = self._answer_lengths.expected_tokens(request)
        # A cautious reservation above the quota of a minute must not block a call forever.
        return min(self._max_per_minute, reserved_tokens(request, self._burndown, expected))

    def has_plenty(self, now: float) -> bool:
        """Return whether the next calls may begin whatever they take, if not too many do.

        True without a quota, and while the buckets stay nearly full.
        """
        if now < self._frozen_until or self._day.wait_s(0.0, now) > 0:
            return False
        if not self._managed:
            return True
        waits_for_first = self._first_call_until is None or now < self._first_call_until
        self._refill(now)
        is_full = self._tokens.is_nearly_full and self._requests.is_nearly_full
        return is_full and not waits_for_first and self._day.limit is None

    def wait_s(self, reserved: float, now: float) -> float:
        """Return the seconds until a call may begin; 0 for now.

        Args:
            reserved: Quota tokens of the call, from `reserved_tokens`.
            now: Monotonic seconds.
        """
        if now < self._frozen_until:
            return self._frozen_until - now
        day_s = self._day.wait_s(reserved, now)
        if not self._managed:
            return day_s
        self._rate.start(reserved)
        self._refill(now)
        if self._first_call_until is not None and now < self._first_call_until:
            return self._first_call_until - now
        tokens_s, requests_s = self._tokens.wait_s(reserved), self._requests.wait_s(1)
        self._rate.advance(now, is_limiting=tokens_s > requests_s)
        if tokens_s > 0 and self._rate.is_growing:
            tokens_s = min(tokens_s, GROWTH_CHECK_S)
        return max(tokens_s, requests_s, day_s)

    def pause_reason(self, reserved: float, now: float) -> str:
        """Return why no call begins for minutes, for messages; '' if calls begin."""
        pause_s = self._frozen_until - now
        if pause_s > LONG_PAUSE_S:
            minutes = round(pause_s / 60)
            return f"the server asked to wait; the next call is tried in {minutes} min"
        return self._day.pause_reason(reserved, now)

    def note_no_waiting_calls(self, now: float) -> None:
        """Note that no call waits: the rate is not limiting."""
        self._rate.advance(now, is_limiting=False)

    def charge(self, request: CallRequest, reserved: float, now: float) -> None:
        """Charge a call that begins now.

        Args:
            request: The most that the call can take.
            reserved: Quota tokens of the call, from `reserved_tokens`.
            now: Monotonic seconds.
        """
        if self._first_call_until is None:
            self._first_call_until = now + FIRST_CALL_S
        if reserved > self._tokens.depth:
            self._tokens.take(self._tokens.per_s * ARRIVAL_S)
        self._take(reserved)
        self._requests.take(1)
        self._rate.count_call()
        self._uncharged += self._charged_at_end(request, reserved)

    def settle(
        self,
        request: CallRequest,
        reserved: float,
        granted_at: float,
        outcome: CallOutcome,
        now: float,
    ) -> None:
        """Return what a call did not take, and learn from its outcome.

        Args:
            request: The most that the call could take.
            reserved: Quota tokens that it was charged.
            granted_at: When it began, in monotonic seconds.
            outcome: Its outcome; if that is unknown, the charge stays.
            now: Monotonic seconds.
        """
        self._first_call_until = now
        if outcome.unknown:
            return
        used = outcome.input_tokens + self._burndown * outcome.output_tokens
        self._refill(now)
        self._take(used - reserved if self._managed else 0.0)
        if outcome.throttled:
            self._learn_refusal(reserved, granted_at, outcome, now)
        elif outcome.output_tokens:
            self._answer_lengths.learn(request, outcome.output_tokens)

    def end(self, request: CallRequest, reserved: float) -> None:
        """Note that a call is no longer in flight: it was settled or given up."""
        self._uncharged -= self._charged_at_end(request, reserved)

    def _charged_at_end(self, request: CallRequest, reserved: float) -> float:
        """Return the tokens that the server charges only at the end of a call."""
        return max(0.0, reserved - request.input_tokens - request.max_tokens)

    def _refill(self, now: float) -> None:
        self._tokens.refill(now, self._rate.per_s)
        self._requests.refill(now, self._requests.per_s)

    def _take(self, tokens: float) -> None:
        self._tokens.take(tokens)
        self._accepted += tokens
        self._day.take(tokens)

    def _learn_refusal(
        self, reserved: float, granted_at: float, outcome: CallOutcome, now: float
    ) -> None:
        retry_after_s = outcome.retry_after_s
        if outcome.daily:
            self._day.close(now, retry_after_s)
            return
        pause_s = FREEZE_S if retry_after_s is None else retry_after_s
        self._frozen_until = max(self._frozen_until, now + pause_s)
        if self._managed:
            self._requests.take(-1)
            excess = max(0.0, reserved - self._tokens.depth)
            self._rate.learn_refusal(
                now,
                granted_at,
                self._accepted,
                reserved,
                debt=excess + self._uncharged,
                server_was_full=excess > 0,
            )
            has_retry_after = retry_after_s is not None
            self._tokens.refill(now, self._rate.per_s)
            self._tokens.drain(reserved, has_retry_after)
            self._requests.drain(1, has_retry_after)
