"""Who asks for leases: a run's account with a pool, and the processes that work for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from raypipe.quota.budget import BudgetGuard, Cost
from raypipe.quota.prices import Price
from raypipe.quota.protocol import CallOutcome, CallRequest

DEAD_S = 30.0
"""A worker that gave no sign for this long is dead: what it had in flight counts as spent."""
DOUBT_S = 8.0
"""A worker that gave no sign for this long gets no lease until it does: it may be dying."""


@dataclass
class CallTally:
    """Calls and what they came to, by the names of `raypipe.quota.protocol.Totals`."""

    counts: Counter[str] = field(default_factory=Counter)
    usd: float = 0.0

    def count(self, spent: CallOutcome, cost: Cost, sign: int = 1) -> None:
        """Count a call, or, with sign -1, take it out again."""
        self.usd += sign * cost.usd
        answered = spent.input_tokens + spent.output_tokens > 0
        self.counts["calls"] += sign * answered
        self.counts["throttled"] += sign * spent.throttled
        self.counts["unknown"] += sign * spent.unknown
        self.counts["input_tokens"] += sign * spent.input_tokens
        self.counts["output_tokens"] += sign * spent.output_tokens

    def add(self, other: CallTally) -> None:
        """Count all that another counted."""
        self.counts.update(other.counts)
        self.usd += other.usd

    @property
    def cost(self) -> Cost:
        """What the calls cost."""
        return Cost(self.usd, self.counts["input_tokens"] + self.counts["output_tokens"])


@dataclass
class RunAccount:
    """One run's account with one pool.

    Args:
        purse: The run's budget.
        price: What the pool's tokens cost.
    """

    purse: BudgetGuard
    price: Price
    in_flight: int = 0
    stop: str = ""  # why nothing new may begin
    tally: CallTally = field(default_factory=CallTally)

    def worst(self, need: CallRequest) -> Cost:
        """Return the most that a call may cost."""
        return cost_of(self.price, need, CallOutcome(unknown=True))

    def cost(self, need: CallRequest, spent: CallOutcome) -> Cost:
        """Return what a call cost; where that is unknown, it may be the most."""
        return cost_of(self.price, need, spent)


def cost_of(price: Price, need: CallRequest, spent: CallOutcome) -> Cost:
    """Return what a call cost, at most where that is unknown."""
    given, taken = spent.input_tokens, spent.output_tokens
    if spent.unknown:
        given, taken = need.input_tokens, need.max_tokens
    return Cost(price.usd(given, taken), given + taken)


@dataclass(slots=True)
class _Worker:
    seen: float
    busy: int = 0  # leases that it holds, and calls that wait for one
    held: int = 0  # leases


class Workers:
    """The processes, and when each gave its last sign of life.

    Args:
        dead_s: Seconds after which one that is busy is dead.
    """

    def __init__(self, dead_s: float = DEAD_S) -> None:
        self._dead_s = dead_s
        self._doubt_s = min(DOUBT_S, dead_s / 2)
        self._known: dict[str, _Worker] = {}

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._known)

    def seen(self, worker: str, now: float) -> None:
        """Note a sign of life."""
        self._known.setdefault(worker, _Worker(now)).seen = now

    def busy(self, worker: str, more: int) -> None:
        """Note that it has so many more leases and waiting calls; idle ones are forgotten."""
        one = self._known.get(worker)
        if one is None:
            return
        one.busy += more
        if one.busy <= 0:
            del self._known[worker]

    def hold(self, worker: str, more: int) -> None:
        """Note that it holds so many more leases."""
        if one := self._known.get(worker):
            one.held += more
        self.busy(worker, more)

    def held(self, worker: str) -> int:
        """Return how many leases it holds."""
        one = self._known.get(worker)
        return one.held if one else 0

    def lives(self, worker: str, now: float) -> bool:
        """Whether it may get a lease."""
        one = self._known.get(worker)
        return one is not None and now - one.seen < self._doubt_s

    def dead(self, now: float) -> list[str]:
        """Return those that died, and forget them."""
        found = [name for name, one in self._known.items() if now - one.seen >= self._dead_s]
        for name in found:
            del self._known[name]
        return found

    def next_death_s(self, now: float) -> Iterator[float]:
        """Yield the seconds until each would be dead."""
        for one in self._known.values():
            yield max(0.0, one.seen + self._dead_s - now)
