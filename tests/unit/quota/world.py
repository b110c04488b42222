"""A world on a virtual clock: workers that always have a next call, the broker, and a server that
counts its quota by the very code of the model server.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from math import inf, log

from raypipe.core.options import BudgetOptions, QuotaOptions
from raypipe.quota.broker import Broker, Refusal
from raypipe.quota.budget import BudgetGuard, Cost
from raypipe.quota.prices import Price
from raypipe.quota.protocol import CallOutcome, CallRequest, Lease
from raypipe.quota.sessions import RunAccount
from raypipe.simulator.calls import CallRefused
from raypipe.simulator.options import ServerQuotaOptions
from raypipe.simulator.quota import Quota

IDLE_S = 20.0


@dataclass
class Load:
    """What the calls are like; medians of lognormal sizes."""

    input_tokens: float = 5_000
    input_sigma: float = 0.45
    least_input: int = 2_000
    most_input: int = 12_000
    max_tokens: tuple[int, int] = (500, 1_500)
    output_share: tuple[float, float] = (0.3, 0.8)
    latency_s: float = 2.0
    latency_sigma: float = 0.4
    estimate: tuple[float, float] = (0.94, 1.1)  # estimated over real input tokens
    wire_s: float = 0.02
    rpc_s: float = 0.003
    retry_after: bool = False  # Bedrock does not say
    cold_s: tuple[float, float] = (0.0, 4.0)  # until a worker's first call is sent


@dataclass
class Seen:
    """What the server saw."""

    first: float = inf
    offered: int = 0
    throttles: list[float] = field(default_factory=list)
    offers: list[float] = field(default_factory=list)
    settled: list[tuple[float, float]] = field(default_factory=list)

    def settled_by(self, until: float) -> float:
        return sum(tokens for at, tokens in self.settled if at <= until)

    def throttled_share(self, since: float = 0.0, until: float = inf) -> float:
        throttled = sum(since <= at < until for at in self.throttles)
        return throttled / max(1, sum(since <= at < until for at in self.offers))


@dataclass
class World:
    """Runs callers against the server through the broker."""

    quota: QuotaOptions
    server: ServerQuotaOptions
    load: Load
    seed: int = 0
    now: float = 1_000.0
    trace: bool = False

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.seen = Seen()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._wake = inf
        self._ready: dict[str, float] = {}
        self.broker = Broker(self.quota, self.server.burndown, self.now)
        self.client = RunAccount(BudgetGuard(BudgetOptions(), Cost()), Price(0.0, 0.0))
        # As the engine does: the bucket is made at the first call.
        self._quota: Quota | None = None
        self.began = self.now

    def at(self, seconds: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now + seconds, next(self._order), what))

    def run(self, callers: int, seconds: float, workers: int = 2) -> Seen:
        """Let each of the callers make one call after another until the clock has run."""
        for number in range(callers):
            worker = f"worker-{number % workers}"
            # Workers take a while to start; the broker is there before them.
            self.at(IDLE_S + self.random.uniform(0, 0.5), partial(self._next, worker))
        for number in range(workers):
            self.at(2.0, partial(self._ping, f"worker-{number}"))
        end = self.now + IDLE_S + seconds
        while self._events and self._events[0][0] <= end:
            self.now, _, what = heapq.heappop(self._events)
            what()
        self.now = end
        return self.seen

    def change(self, seconds: float, **server: object) -> None:
        """Change the server's quota later."""

        def now() -> None:
            self.server = replace(self.server, **server)  # type: ignore[arg-type]
            assert self._quota is not None
            self._quota.change(self.server)

        self.at(IDLE_S + seconds, now)

    def integral(self) -> float:
        assert self._quota is not None
        return self._quota.integral() or 0.0

    def _ping(self, worker: str) -> None:
        self.broker.seen(worker, self.now)
        self.at(2.0, lambda: self._ping(worker))
        self._turn()

    def _turn(self) -> None:
        wait = self.broker.turn(self.now)
        at = self.now + wait
        if at < inf and not self.now < self._wake <= at:
            self._wake = at
            self.at(wait, self._turn)

    def _next(self, worker: str) -> None:
        load, rnd = self.load, self.random
        real = rnd.lognormvariate(log(load.input_tokens), load.input_sigma)
        real = int(min(load.most_input, max(load.least_input, real)))
        most = rnd.randint(*load.max_tokens)
        need = CallRequest(int(real * rnd.uniform(*load.estimate)), most)
        output = int(most * rnd.uniform(*load.output_share))
        self.at(load.rpc_s, lambda: self._ask(worker, need, real, output))

    def _ask(self, worker: str, need: CallRequest, real: int, output: int) -> None:
        def give(answer: Lease | Refusal) -> None:
            assert isinstance(answer, Lease)
            wire = self.load.rpc_s + self.random.expovariate(1 / self.load.wire_s)
            ready = self._ready.setdefault(
                worker, self.now + self.random.uniform(*self.load.cold_s)
            )
            self.at(
                max(ready - self.now, 0) + wire,
                lambda: self._arrive(worker, need, real, output, answer),
            )

        self.broker.ask(self.client, worker, need, give, self.now)
        self._turn()

    def _arrive(self, worker: str, need: CallRequest, real: int, output: int, lease: Lease) -> None:
        seen, wire = self.seen, self.random.expovariate(1 / self.load.wire_s)
        if self._quota is None:
            self._quota = Quota(self.server, lambda: self.now)
        seen.offers.append(self.now)
        reserved = real + need.max_tokens
        try:
            self._quota.admit(reserved)
        except CallRefused as refused:
            seen.throttles.append(self.now)
            wait = refused.retry_after_s if self.load.retry_after else None
            spent = CallOutcome(throttled=True, retry_after_s=wait)
            if self.trace:
                print(f"{self.now - self.began:7.2f} 429 rate {self.rate():.2f}")

            def again() -> None:
                self._settle(lease, spent)
                self._ask(worker, replace(need, is_retry=True), real, output)

            self.at(wire + self.load.rpc_s, again)
            return
        seen.first = min(seen.first, self.now)
        latency = self.random.lognormvariate(log(self.load.latency_s), self.load.latency_sigma)

        def answered() -> None:
            assert self._quota is not None
            used = real + self.server.burndown * output
            self._quota.settle(reserved, used)
            seen.settled.append((self.now, used))
            self.at(wire + self.load.rpc_s, lambda: self._settle(lease, CallOutcome(real, output)))
            self.at(wire + self.load.rpc_s, lambda: self._next(worker))

        self.at(latency, answered)

    def _settle(self, lease: Lease, spent: CallOutcome) -> None:
        self.broker.settle(lease.number, spent, self.now)
        self._turn()

    def rate(self) -> float:
        """Return the rate that is tried, as a share of the server's."""
        rate, most = (
            self.broker.totals(self.client).tokens_per_minute,
            self.server.tokens_per_minute,
        )
        return (rate or inf) / (most or inf)
