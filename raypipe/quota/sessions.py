"""Who asks for leases: a run's account with a pool, and the workers that make its calls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from raypipe.quota.budget import BudgetGuard, Cost
from raypipe.quota.prices import Price
from raypipe.quota.protocol import CallOutcome, CallRequest

DEAD_AFTER_S = 30.0
"""A worker without a heartbeat for this long is dead: its calls in flight count as spent."""
DOUBT_AFTER_S = 8.0
"""A worker without a heartbeat for this long gets no lease until its next heartbeat: it may
be dying."""

UNKNOWN = CallOutcome(unknown=True)


@dataclass
class CallTally:
    """Counts of calls and their cost.

    Args:
        counts: Numbers by field name of `raypipe.quota.protocol.Totals`.
        usd: Cost in dollars.
    """

    counts: Counter[str] = field(default_factory=Counter)
    usd: float = 0.0

    def add(self, outcome: CallOutcome, cost: Cost) -> None:
        """Count a call."""
        self._count(outcome, cost, 1)

    def subtract(self, outcome: CallOutcome, cost: Cost) -> None:
        """Undo `add`."""
        self._count(outcome, cost, -1)

    def _count(self, outcome: CallOutcome, cost: Cost, sign: int) -> None:
        self.usd += sign * cost.usd
        answered = outcome.input_tokens + outcome.output_tokens > 0
        self.counts["calls"] += sign * answered
        self.counts["throttled"] += sign * outcome.throttled
        self.counts["unknown"] += sign * outcome.unknown
        self.counts["input_tokens"] += sign * outcome.input_tokens
        self.counts["output_tokens"] += sign * outcome.output_tokens

    def merge(self, other: CallTally) -> None:
        """Add the counts of another tally."""
        self.counts.update(other.counts)
        self.usd += other.usd

    @property
    def cost(self) -> Cost:
        """Return the cost of the calls."""
        return Cost(self.usd, self.counts["input_tokens"] + self.counts["output_tokens"])


@dataclass
class RunAccount:
    """One run's account with one pool.

    Args:
        budget: The run's budget.
        price: Price of the pool's model.
        in_flight: Calls in flight.
        stop_reason: Why the run gets no more leases; '' while it gets leases.
        tally: Counts of its calls.
    """

    budget: BudgetGuard
    price: Price
    in_flight: int = 0
    stop_reason: str = ""
    tally: CallTally = field(default_factory=CallTally)

    def max_cost(self, request: CallRequest) -> Cost:
        """Return the maximum cost of a call."""
        return cost_of(self.price, request, UNKNOWN)

    def cost(self, request: CallRequest, outcome: CallOutcome) -> Cost:
        """Return the cost of a call, or its maximum if the outcome is unknown."""
        return cost_of(self.price, request, outcome)


def cost_of(price: Price, request: CallRequest, outcome: CallOutcome) -> Cost:
    """Return the cost of a call, or its maximum if the outcome is unknown."""
    input_tokens, output_tokens = outcome.input_tokens, outcome.output_tokens
    if outcome.unknown:
        input_tokens, output_tokens = request.input_tokens, request.max_tokens
    usd = price.usd(input_tokens, output_tokens, outcome.tier)
    return Cost(usd, input_tokens + output_tokens)


@dataclass(slots=True)
class _Worker:
    """A process with something to do.

    Args:
        last_heartbeat: Monotonic seconds.
        busy: Number of its leases and waiting calls.
        leases: Number of its leases.
    """

    last_heartbeat: float
    busy: int = 0
    leases: int = 0


class Workers:
    """The processes that hold leases or wait for them, and their heartbeats.

    Args:
        dead_after_s: Seconds without a heartbeat after which a busy worker is dead.
    """

    def __init__(self, dead_after_s: float = DEAD_AFTER_S) -> None:
        self._dead_after_s = dead_after_s
        self._doubt_after_s = min(DOUBT_AFTER_S, dead_after_s / 2)
        self._workers: dict[str, _Worker] = {}

    def __len__(self) -> int:
        """Return the number of workers."""
        return len(self._workers)

    def record_heartbeat(self, worker: str, now: float) -> None:
        """Record a heartbeat."""
        self._workers.setdefault(worker, _Worker(now)).last_heartbeat = now

    def add_busy(self, worker: str, count: int) -> None:
        """Add to the leases and waiting calls of a worker; an idle worker is forgotten."""
        known = self._workers.get(worker)
        if known is None:
            return
        known.busy += count
        if known.busy <= 0:
            del self._workers[worker]

    def add_leases(self, worker: str, count: int) -> None:
        """Add to the leases of a worker."""
        if known := self._workers.get(worker):
            known.leases += count
        self.add_busy(worker, count)

    def leases(self, worker: str) -> int:
        """Return the number of a worker's leases."""
        known = self._workers.get(worker)
        return known.leases if known else 0

    def is_alive(self, worker: str, now: float) -> bool:
        """Return whether a worker may get a lease."""
        known = self._workers.get(worker)
        return known is not None and now - known.last_heartbeat < self._doubt_after_s

    def remove_dead(self, now: float) -> list[str]:
        """Forget dead workers and return their names."""
        dead = [
            name
            for name, worker in self._workers.items()
            if now - worker.last_heartbeat >= self._dead_after_s
        ]
        for name in dead:
            del self._workers[name]
        return dead

    def seconds_to_death(self, now: float) -> Iterator[float]:
        """Yield for each worker the seconds until it counts as dead without a heartbeat."""
        for worker in self._workers.values():
            yield max(0.0, worker.last_heartbeat + self._dead_after_s - now)
