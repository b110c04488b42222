"""Estimate how many tokens per second the server accepts, from the calls that it refuses.

A server with a bucket refuses a call if its bucket holds less than the call needs. The rate between
two refusals is therefore the number of tokens that were accepted between them, give or take one
call, divided by the time. After a refusal the rate is set just below this estimate, stays there for
a while, and then accelerates: the shape of CUBIC (RFC 9438, section 4), which uses a known limit
fully and still finds a higher limit soon.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from math import inf

INITIAL_SHARE = 0.95
"""Share of the estimate that is tried first; the server's bucket saves up the rest."""
MAX_PLATEAU_S = 15.0
MIN_PLATEAU_S = 3.0
"""Bounds of the seconds just below a limit. A limit that was measured over a short time is
exceeded again sooner."""
PLATEAU_SHARE = 3.0
"""Seconds of plateau per second of the measurement."""
PLATEAU_CALLS = 20
"""Minimum number of calls in the longest plateau. Each search for a higher limit costs about one
refused call, which is a large share of the few calls of a small quota."""
DOUBLING_S = 5.0
"""Seconds from the end of the plateau to twice the rate."""
MIN_START_PER_S = 1_000.0
"""Minimum start rate of an unknown quota, in tokens per second, for small first calls. If the quota
is lower, a few more calls are refused at the start."""
START_DOUBLING_S = 2.0
"""Seconds in which the start rate of an unknown quota doubles, until the first refusals."""
MEMORY_S = 120.0
"""Refusals are forgotten after this many seconds: a quota can change during a run."""
MIN_SHARE = 0.5
"""A refusal lowers a limit to no less than this share of it: between two refusals in quick
succession lies less than a call."""
CONSISTENT_SHARE = 0.98
"""An upper bound of at least this share of the rate is consistent with the rate."""


@dataclass(frozen=True, slots=True)
class _Refusal:
    """A refused call.

    Args:
        at: Monotonic seconds.
        accepted: Tokens that the server had accepted in total.
        tokens: Tokens of the refused call.
    """

    at: float
    accepted: float
    tokens: float


class RateEstimator:
    """The rate to try, in tokens per second.

    Args:
        ceiling: Maximum rate, from the configured quota; infinite if the quota is unknown.
        now: Monotonic seconds.
    """

    def __init__(self, ceiling: float, now: float) -> None:
        self.ceiling = ceiling
        self._updated_at = now
        self._is_limiting = False
        # Seconds for which the rate was limiting since its last cut: on the plateau, and after.
        self._plateau_used_s = self._growth_s = 0.0
        self._calls_since_cut = 0
        self._plateau_s = 0.0
        self._base = ceiling
        self._was_cut = False
        self._refusals: deque[_Refusal] = deque()

    def start(self, tokens: float) -> None:
        """Choose the start rate of an unknown quota: one call of this size per second, or more."""
        if self._base == inf:
            self._base = max(MIN_START_PER_S, tokens)

    @property
    def per_s(self) -> float:
        """Return the rate to try now."""
        if not self._was_cut:
            if self.ceiling != inf or self._base == inf:
                return self.ceiling
            return self._base * math.pow(2.0, min(64.0, self._growth_s / START_DOUBLING_S))
        return min(self.ceiling, self._base * (INITIAL_SHARE + (self._growth_s / DOUBLING_S) ** 3))

    @property
    def is_growing(self) -> bool:
        """Return whether the rate grows by itself."""
        return self.per_s < self.ceiling

    def advance(self, now: float, is_limiting: bool) -> None:
        """Let time pass. The rate grows only while calls wait for it.

        Args:
            now: Monotonic seconds.
            is_limiting: Whether a call waits for tokens from now on.
        """
        elapsed_s = max(0.0, now - self._updated_at) if self._is_limiting else 0.0
        min_calls = PLATEAU_CALLS * self._plateau_s / MAX_PLATEAU_S
        on_plateau = self._plateau_used_s < self._plateau_s or self._calls_since_cut < min_calls
        if self._was_cut and on_plateau:
            self._plateau_used_s += elapsed_s
        else:
            self._growth_s += elapsed_s
        self._updated_at, self._is_limiting = now, is_limiting

    def count_call(self) -> None:
        """Count a call that begins."""
        self._calls_since_cut += 1

    def learn_refusal(
        self,
        now: float,
        granted_at: float,
        accepted: float,
        tokens: float,
        debt: float = 0.0,
        server_was_full: bool = False,
    ) -> bool:
        """Learn from a call that the server refused.

        Args:
            now: Monotonic seconds.
            granted_at: When the call was granted. Calls that were in flight when another call was
                refused are refused for the same reason, and teach nothing new.
            accepted: Tokens that the server accepted so far, by our count.
            tokens: Tokens of the refused call.
            debt: How far below 0 the level of the server's bucket may have been: it accepts calls
                larger than the bucket, and charges burndown at the end of a call.
            server_was_full: Whether the server's bucket was full between calls, so that it could
                have accepted more.

        Returns:
            Whether the refusal taught something new.
        """
        if self._refusals and granted_at <= self._refusals[-1].at:
            return False
        refusal = _Refusal(now, accepted, tokens)
        while self._refusals and now - self._refusals[0].at > MEMORY_S:
            self._refusals.popleft()
        low, high, seconds = self._bounds(refusal, debt)
        self._refusals.append(refusal)
        # After a long time without refusals, only our bucket was fuller than the server's. The
        # caller drains it.
        if high < self.per_s * CONSISTENT_SHARE:
            floor = MIN_SHARE * (self._base if self._was_cut else self.per_s)
            self._base = max(floor, high if server_was_full else (low + high) / 2)
            self._plateau_s = min(MAX_PLATEAU_S, max(MIN_PLATEAU_S, PLATEAU_SHARE * seconds))
            self._plateau_used_s = self._growth_s = 0.0
            self._calls_since_cut = 0
            self._was_cut = True
        return True

    def _bounds(self, refusal: _Refusal, debt: float) -> tuple[float, float, float]:
        """Return the bounds of the true rate, and the seconds over which they were measured.

        Between two refusals the level of the server's bucket changed from a value in [0, tokens of
        the first call) to a value in [0, tokens of the second call). Older refusals narrow the
        bounds, until they contradict newer ones.
        """
        low, high, seconds = 0.0, inf, 0.0
        for earlier in reversed(self._refusals):
            elapsed_s = refusal.at - earlier.at
            if elapsed_s <= 0:
                continue
            accepted = refusal.accepted - earlier.accepted
            min_rate = (accepted - earlier.tokens - debt) / elapsed_s
            max_rate = (accepted + refusal.tokens + debt) / elapsed_s
            if min_rate > high or max_rate < low:
                break
            low, high, seconds = max(low, min_rate), min(high, max_rate), elapsed_s
        return low, high, seconds
