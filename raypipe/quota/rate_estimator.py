"""How many tokens a second are tried: found out from what the server refuses.

A server with a bucket refuses a call when its bucket holds less than the call asks for. So two
refusals tell the rate between them: what was let through, give or take one call, over the time.
After a refusal the rate is set just below that, stays there for a while, and then accelerates:
the shape of CUBIC (RFC 9438, section 4), which fills a known limit and yet finds a new one soon.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from math import inf

BELOW = 0.95
"""Share of the estimate that is tried first: what stays in the server's bucket is found again."""
PLATEAU_S = 15.0
LEAST_PLATEAU_S = 3.0
"""Seconds just below a limit. A limit that was measured over a short time is tried again sooner."""
PLATEAU_SHARE = 3.0
"""Seconds of plateau for each second that the measurement took."""
PLATEAU_CALLS = 20
"""And no fewer calls than this in the longest plateau: each look for a higher limit costs about
one refused call, which of a small quota's few calls would be many."""
DOUBLES_S = 5.0
"""Seconds from the end of the plateau to twice the rate."""
LEAST_START_PER_S = 1_000.0
"""Tokens a second that an unknown quota is believed to have at least, if the first call is small;
if it has not, some calls more are refused at the start."""
START_DOUBLES_S = 2.0
"""Seconds in which an unknown quota's first rate doubles, until the first refusals."""
MEMORY_S = 120.0
"""Refusals are forgotten after this long: quotas are changed while runs go on."""
LEAST_SHARE = 0.5
"""One refusal lowers a limit to no less than this share of the one before: between two that are
close to each other lies less than a call."""
CONSISTENT = 0.98
"""A bound of this share of the rate, or more, does not speak against the rate."""


@dataclass(frozen=True, slots=True)
class _Refusal:
    at: float
    net: float  # tokens that had been let through, all in all
    need: float


class RateEstimator:
    """Tokens a second.

    Args:
        ceiling: The most, from the configured quota; infinite = unknown.
        now: Seconds, monotonic.
    """

    def __init__(self, ceiling: float, now: float) -> None:
        self.ceiling = ceiling
        self._at = now
        self._limited = False
        # How long it was the limit since it was last cut, on the plateau and after it.
        self._calm_s = self._grown_s = 0.0
        self._calm_calls = 0
        self._plateau_s = 0.0
        self._base = ceiling
        self._cut = False
        self._refusals: deque[_Refusal] = deque()

    def begin(self, need: float) -> None:
        """Choose the first rate, where the quota is unknown: one such call a second, or more."""
        if self._base == inf:
            self._base = max(LEAST_START_PER_S, need)

    @property
    def per_s(self) -> float:
        """What is tried now."""
        if not self._cut:
            if self.ceiling != inf or self._base == inf:
                return self.ceiling
            return self._base * math.pow(2.0, min(64.0, self._grown_s / START_DOUBLES_S))
        return min(self.ceiling, self._base * (BELOW + (self._grown_s / DOUBLES_S) ** 3))

    @property
    def changes(self) -> bool:
        """Whether it grows by itself."""
        return self.per_s < self.ceiling

    def tick(self, now: float, limited: bool) -> None:
        """Let time pass; a rate that nobody waited for proves nothing and does not grow.

        Args:
            now: Seconds.
            limited: Whether a call waits for tokens from now on.
        """
        passed = max(0.0, now - self._at) if self._limited else 0.0
        calls = PLATEAU_CALLS * self._plateau_s / PLATEAU_S
        if self._cut and (self._calm_s < self._plateau_s or self._calm_calls < calls):
            self._calm_s += passed
        else:
            self._grown_s += passed
        self._at, self._limited = now, limited

    def granted(self) -> None:
        """Count a call."""
        self._calm_calls += 1

    def refused(
        self,
        now: float,
        granted: float,
        net: float,
        need: float,
        debt: float = 0.0,
        lossy: bool = False,
    ) -> bool:
        """Learn from a call that the server refused.

        Args:
            now: Seconds.
            granted: When it was granted. Calls that were on their way when another was refused
                are refused for the same reason: one round trip, one lesson.
            net: Tokens that the server let through so far, by our count.
            need: Tokens of the refused call.
            debt: How far below 0 the server's bucket may have been: it takes needs that are larger
                than itself, and charges burndown at the end.
            lossy: Whether the server's bucket was full between calls, so that more could have been
                let through than was.

        Returns:
            Whether it is a lesson of its own.
        """
        if self._refusals and granted <= self._refusals[-1].at:
            return False
        this = _Refusal(now, net, need)
        while self._refusals and now - self._refusals[0].at > MEMORY_S:
            self._refusals.popleft()
        low, high, seconds = self._bounds(this, debt)
        self._refusals.append(this)
        # After a long peace, our bucket was only fuller than the server's; it is drained anyway.
        if high < self.per_s * CONSISTENT:
            floor = LEAST_SHARE * (self._base if self._cut else self.per_s)
            self._base = max(floor, high if lossy else (low + high) / 2)
            self._plateau_s = min(PLATEAU_S, max(LEAST_PLATEAU_S, PLATEAU_SHARE * seconds))
            self._calm_s = self._grown_s = 0.0
            self._calm_calls = 0
            self._cut = True
        return True

    def _bounds(self, this: _Refusal, debt: float) -> tuple[float, float, float]:
        """Return the least and the most that the true rate can be, and over which time it shows.

        Between two refusals the server's level went from one in [0, first need) to one in
        [0, second need). Older refusals narrow it down until they contradict newer ones.
        """
        low, high, seconds = 0.0, inf, 0.0
        for other in reversed(self._refusals):
            passed = this.at - other.at
            if passed <= 0:
                continue
            through = this.net - other.net
            least = (through - other.need - debt) / passed
            most = (through + this.need + debt) / passed
            if least > high or most < low:
                break
            low, high, seconds = max(low, least), min(high, most), passed
        return low, high, seconds
