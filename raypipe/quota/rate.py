"""How many tokens a second are tried: found out from what the server refuses.

A server with a bucket refuses a call when its bucket holds less than the call asks for. So two
refusals tell the rate between them: what was let through, give or take one call, over the time.
After a refusal the rate is set just below that, stays there for a while, and then accelerates:
the shape of CUBIC (RFC 9438, section 4), which fills a known limit and yet finds a new one soon.
"""

from __future__ import annotations

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
DOUBLES_S = 5.0
"""Seconds from the end of the plateau to twice the rate."""
START_DOUBLES_S = 2.0
"""Seconds in which an unknown quota's first rate doubles, until the first refusals."""
MEMORY_S = 60.0
"""Refusals are forgotten after this long: quotas are changed while runs go on."""
LEAST_SHARE = 0.5
"""One refusal lowers the rate to no less than this share: between two that are close to each other
lies less than a call."""
CONSISTENT = 0.98
"""A bound of this share of the rate, or more, does not speak against the rate."""


@dataclass(frozen=True, slots=True)
class _Refusal:
    at: float
    net: float  # tokens that had been let through, all in all
    need: float


class Rate:
    """Tokens a second.

    Args:
        ceiling: The most, from the configured quota; infinite = unknown.
        now: Seconds, monotonic.
    """

    def __init__(self, ceiling: float, now: float) -> None:
        self.ceiling = ceiling
        self._at = now
        self._limited = False
        self._grown_s = 0.0  # how long it was the limit since it was last cut
        self._plateau_s = 0.0
        self._base = ceiling
        self._cut = False
        self._refusals: deque[_Refusal] = deque()

    def begin(self, need: float) -> None:
        """Choose the first rate, where the quota is unknown: one such call a second."""
        if self._base == inf:
            self._base = max(1.0, need)

    @property
    def per_s(self) -> float:
        """What is tried now."""
        if not self._cut:
            if self.ceiling != inf or self._base == inf:
                return self.ceiling
            return self._base * 2.0 ** min(64.0, self._grown_s / START_DOUBLES_S)
        beyond = max(0.0, self._grown_s - self._plateau_s) / DOUBLES_S
        return min(self.ceiling, self._base * (BELOW + beyond**3))

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
        if self._limited:
            self._grown_s += max(0.0, now - self._at)
        self._at, self._limited = now, limited

    def refused(self, now: float, granted: float, net: float, need: float) -> bool:
        """Learn from a call that the server refused.

        Args:
            now: Seconds.
            granted: When it was granted. Calls that were on their way when another was refused
                are refused for the same reason: one round trip, one lesson.
            net: Tokens that the server let through so far, by our count.
            need: Tokens of the refused call.

        Returns:
            Whether it is a lesson of its own.
        """
        if self._refusals and granted <= self._refusals[-1].at:
            return False
        this = _Refusal(now, net, need)
        while self._refusals and now - self._refusals[0].at > MEMORY_S:
            self._refusals.popleft()
        low, high, seconds = self._bounds(this)
        self._refusals.append(this)
        # After a long peace, our bucket was only fuller than the server's; it is drained anyway.
        if high < self.per_s * CONSISTENT:
            self._base = max(self.per_s * LEAST_SHARE, (low + high) / 2)
            self._plateau_s = min(PLATEAU_S, max(LEAST_PLATEAU_S, PLATEAU_SHARE * seconds))
            self._grown_s = 0.0
            self._cut = True
        return True

    def _bounds(self, this: _Refusal) -> tuple[float, float, float]:
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
            least, most = (through - other.need) / passed, (through + this.need) / passed
            if least > high or most < low:
                break
            low, high, seconds = max(low, least), min(high, most), passed
        return low, high, seconds
