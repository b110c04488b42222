"""The quota client of one process: bounds calls in flight and pauses after a throttle.

It knows no quota and no budget.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from dataclasses import replace
from typing import Any

from raypipe.core.errors import BookLeftError
from raypipe.core.stop import StopCheck, never_stopped
from raypipe.quota.protocol import CallOutcome, CallRequest, Lease, Totals

log = logging.getLogger(__name__)

_STOP_CHECK_S = 0.5
"""A stop ends a wait within this many seconds."""
_DAILY_PAUSE_S = 300.0
"""Pause after the daily quota is used up, unless the server names another."""


class LocalQuotaClient:
    """The client of a pool without a configured quota: a bound, and pauses after throttles.

    Args:
        max_in_flight: Maximum number of calls at a time.
        base_s: Maximum pause after the first throttle, in seconds; doubles with each throttle
            that follows.
        cap_s: Maximum pause in seconds, unless the server asks for more.
    """

    def __init__(self, max_in_flight: int, *, base_s: float = 1.0, cap_s: float = 60.0) -> None:
        if max_in_flight < 1:
            raise ValueError(f"max_in_flight={max_in_flight}: at least 1")
        self.max_in_flight = max_in_flight
        self._base_s, self._cap_s = base_s, cap_s
        self._changed = threading.Condition()
        self._granted_at: dict[int, float] = {}  # by number of the lease
        self._last_number = 0
        self._throttles_in_a_row = 0
        self._paused_at = self._paused_until = 0.0
        self._totals = Totals()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the settings; calls in flight belong to this process."""
        return _create, (self.max_in_flight, self._base_s, self._cap_s)

    def acquire(self, request: CallRequest, stop_check: StopCheck = never_stopped) -> Lease:
        """Wait for permission to make one call.

        Args:
            request: Counted if it is a retry; there is no quota.
            stop_check: Returns the stop reason; asked twice a second.

        Raises:
            BookLeftError: The run stops.
        """
        spread = random.random()
        with self._changed:
            while (wait_s := self._wait_s(spread)) > 0:
                if reason := stop_check():
                    raise BookLeftError(reason)
                self._changed.wait(min(wait_s, _STOP_CHECK_S))
            self._last_number += 1
            self._granted_at[self._last_number] = time.monotonic()
            retries = self._totals.retries + request.is_retry
            self._totals = replace(self._totals, retries=retries)
            return Lease(self._last_number)

    def settle(self, lease: Lease, outcome: CallOutcome) -> None:
        """Take a lease back and count the outcome of the call.

        Raises:
            KeyError: The lease was settled before.
        """
        with self._changed:
            granted_at = self._granted_at.pop(lease.number)
            self._count(outcome)
            if outcome.throttled:
                self._pause(granted_at, outcome)
            elif outcome.input_tokens:  # the call was answered
                self._throttles_in_a_row = 0
            self._changed.notify_all()

    def count_cached_calls(self, calls: int) -> None:
        """Count answers that came from the cache."""
        with self._changed:
            count = self._totals.cached_calls + calls
            self._totals = replace(self._totals, cached_calls=count)

    def totals(self) -> Totals:
        """Return the counts so far; the cost in dollars is not known here."""
        with self._changed:
            return replace(self._totals, in_flight=len(self._granted_at))

    def _wait_s(self, spread: float) -> float:
        """Return the seconds until the next look, or 0 or less for a free lease.

        Threads that waited for the same pause start one after the other, spread over the length
        of the pause, at most `base_s`.

        Args:
            spread: Position of the thread, from 0 to 1.
        """
        if len(self._granted_at) >= self.max_in_flight:
            return _STOP_CHECK_S
        pause_s = self._paused_until - self._paused_at
        return self._paused_until + spread * min(pause_s, self._base_s) - time.monotonic()

    def _pause(self, granted_at: float, outcome: CallOutcome) -> None:
        now = time.monotonic()
        if granted_at >= self._paused_at:  # calls in flight at the first throttle count once
            self._throttles_in_a_row += 1
        max_s = min(self._cap_s, self._base_s * 2.0 ** min(self._throttles_in_a_row - 1, 30))
        pause_s = random.uniform(max_s / 2, max_s)
        if outcome.daily:
            pause_s = _DAILY_PAUSE_S
            log.warning(
                "the model's quota of the day is used up; retrying every %.0f s", _DAILY_PAUSE_S
            )
        if outcome.retry_after_s is not None:
            pause_s = max(outcome.retry_after_s, 0.0)
        if now + pause_s > self._paused_until:
            self._paused_at, self._paused_until = now, now + pause_s

    def _count(self, outcome: CallOutcome) -> None:
        totals = self._totals
        answered = not (outcome.throttled or outcome.unknown) and outcome.input_tokens > 0
        self._totals = replace(
            totals,
            calls=totals.calls + answered,
            throttled=totals.throttled + outcome.throttled,
            unknown=totals.unknown + outcome.unknown,
            input_tokens=totals.input_tokens + outcome.input_tokens,
            output_tokens=totals.output_tokens + outcome.output_tokens,
        )


def _create(max_in_flight: int, base_s: float, cap_s: float) -> LocalQuotaClient:
    return LocalQuotaClient(max_in_flight, base_s=base_s, cap_s=cap_s)
