"""Permits of one process: calls in flight and a pause after a throttle, no quota and no budget."""

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

_LOOK_S = 0.5
"""A stop is seen within this many seconds."""
_DAILY_S = 300.0
"""Pause after the quota of a day is used up, unless the server names another."""


class LocalQuotaClient:
    """What a pool has that nobody gave a quota: a bound, and good manners after a throttle.

    Args:
        max_in_flight: Most calls at a time.
        base_s: Longest pause after the first throttle, doubled with each that follows one.
        cap_s: Longest pause that the server did not ask for.
    """

    def __init__(self, max_in_flight: int, *, base_s: float = 1.0, cap_s: float = 60.0) -> None:
        if max_in_flight < 1:
            raise ValueError(f"max_in_flight={max_in_flight}: at least 1")
        self.max_in_flight = max_in_flight
        self._base_s, self._cap_s = base_s, cap_s
        self._free = threading.Condition()
        self._leases: dict[int, float] = {}  # number -> when it was given out
        self._last = 0
        self._throttles = 0  # in a row
        self._paused_at = self._paused_until = 0.0
        self._totals = Totals()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the settings: what is in flight here is not in flight elsewhere."""
        return _made, (self.max_in_flight, self._base_s, self._cap_s)

    def acquire(self, request: CallRequest, stop_check: StopCheck = never_stopped) -> Lease:
        """Wait for leave to make one call.

        Args:
            request: Not used: there is no quota.
            stop_check: Returns the stop reason; asked twice a second.

        Raises:
            BookLeftError: The wait was stopped.
        """
        spread = random.random()
        with self._free:
            while (wait_s := self._wait_s(spread)) > 0:
                if why := stop_check():
                    raise BookLeftError(why)
                self._free.wait(min(wait_s, _LOOK_S))
            self._last += 1
            self._leases[self._last] = time.monotonic()
            return Lease(self._last)

    def settle(self, lease: Lease, spent: CallOutcome) -> None:
        """Take a lease back and count what the call came to."""
        with self._free:
            began = self._leases.pop(lease.number)
            self._count(spent)
            if spent.throttled:
                self._pause(began, spent)
            elif spent.input_tokens:  # it was answered
                self._throttles = 0
            self._free.notify_all()

    def count_cached_calls(self, calls: int) -> None:
        """Count answers that came from the cache."""
        with self._free:
            count = self._totals.cached_calls + calls
            self._totals = replace(self._totals, cached_calls=count)

    def totals(self) -> Totals:
        """Return the numbers so far; money is not known here."""
        with self._free:
            return replace(self._totals, in_flight=len(self._leases))

    def _wait_s(self, spread: float) -> float:
        """Return seconds until it is worth looking again, 0 = go.

        Threads that waited for the same pause start one after the other, over as long again.
        """
        if len(self._leases) >= self.max_in_flight:
            return _LOOK_S
        pause_s = self._paused_until - self._paused_at
        return self._paused_until + spread * min(pause_s, self._base_s) - time.monotonic()

    def _pause(self, began: float, spent: CallOutcome) -> None:
        now = time.monotonic()
        if began >= self._paused_at:  # not one of many that were under way at the first
            self._throttles += 1
        longest = min(self._cap_s, self._base_s * 2.0 ** min(self._throttles - 1, 30))
        wait_s = random.uniform(longest / 2, longest)
        if spent.daily:
            wait_s = _DAILY_S
            log.warning("the model's quota of the day is used up; trying again now and then")
        if spent.retry_after_s is not None:
            wait_s = max(spent.retry_after_s, 0.0)
        if now + wait_s > self._paused_until:
            self._paused_at, self._paused_until = now, now + wait_s

    def _count(self, spent: CallOutcome) -> None:
        was = self._totals
        answered = not (spent.throttled or spent.unknown) and spent.input_tokens > 0
        self._totals = replace(
            was,
            calls=was.calls + answered,
            throttled=was.throttled + spent.throttled,
            unknown=was.unknown + spent.unknown,
            input_tokens=was.input_tokens + spent.input_tokens,
            output_tokens=was.output_tokens + spent.output_tokens,
        )


def _made(max_in_flight: int, base_s: float, cap_s: float) -> LocalQuotaClient:
    return LocalQuotaClient(max_in_flight, base_s=base_s, cap_s=cap_s)
