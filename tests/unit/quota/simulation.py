"""A simulation on a virtual clock: workers that always have a next call, the broker, and a server.

The server counts its quota with the code of the simulated model server.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from math import inf

from raypipe.core.options import BudgetOptions, QuotaOptions
from raypipe.quota.broker import Broker
from raypipe.quota.budget import BudgetGuard, Cost
from raypipe.quota.prices import Price
from raypipe.quota.protocol import CallOutcome, CallRequest, Lease
from raypipe.quota.sessions import RunAccount
from raypipe.quota.waiting_calls import Refusal
from raypipe.simulator.calls import CallRefused
from raypipe.simulator.options import ServerQuotaOptions
from raypipe.simulator.quota import Quota

IDLE_S = 20.0


@dataclass
class Workload:
    """The calls to simulate; sizes and latencies are medians of lognormal distributions."""

    input_tokens: float = 5_000
    input_sigma: float = 0.45
    min_input: int = 2_000
    max_input: int = 12_000
    max_tokens: tuple[int, int] = (500, 1_500)
    output_share: tuple[float, float] = (0.3, 0.8)
    latency_s: float = 2.0
    latency_sigma: float = 0.4
    estimate: tuple[float, float] = (0.94, 1.1)  # estimated / actual input tokens
    network_s: float = 0.02
    rpc_s: float = 0.003
    retry_after: bool = False  # Bedrock sends no Retry-After
    cold_start_s: tuple[float, float] = (0.0, 4.0)  # until a worker's first call is sent


@dataclass
class ServerLog:
    """The requests that the server got."""

    first: float = inf
    throttles: list[float] = field(default_factory=list)
    requests: list[float] = field(default_factory=list)
    settled: list[tuple[float, float]] = field(default_factory=list)

    def settled_by(self, until: float) -> float:
        return sum(tokens for at, tokens in self.settled if at <= until)

    def throttled_share(self, since: float = 0.0, until: float = inf) -> float:
        throttled = sum(since <= at < until for at in self.throttles)
        return throttled / max(1, sum(since <= at < until for at in self.requests))


@dataclass
class Simulation:
    """Runs callers against the server through the broker."""

    quota: QuotaOptions
    server: ServerQuotaOptions
    workload: Workload
    seed: int = 0
    now: float = 1_000.0
    trace: bool = False

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.log = ServerLog()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._wake_at = inf
        self._ready_at: dict[str, float] = {}
        self.broker = Broker(self.quota, self.server.burndown, self.now)
        self.account = RunAccount(BudgetGuard(BudgetOptions(), Cost()), Price(0.0, 0.0))
        # The server creates its bucket at the first call.
        self._server_quota: Quota | None = None
        self.began = self.now

    def schedule(self, seconds: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now + seconds, next(self._order), event))

    def run(self, callers: int, seconds: float, workers: int = 2) -> ServerLog:
        """Let each caller make one call after another for some seconds."""
        for number in range(callers):
            worker = f"worker-{number % workers}"
            # Workers take a while to start; the broker is there before them.
            start_s = IDLE_S + self.random.uniform(0, 0.5)
            self.schedule(start_s, partial(self._start_call, worker))
        for number in range(workers):
            self.schedule(2.0, partial(self._send_heartbeat, f"worker-{number}"))
        end = self.now + IDLE_S + seconds
        while self._events and self._events[0][0] <= end:
            self.now, _, event = heapq.heappop(self._events)
            event()
        self.now = end
        return self.log

    def change_quota(self, seconds: float, **server: object) -> None:
        """Change the server's quota later."""

        def change() -> None:
            self.server = replace(self.server, **server)  # type: ignore[arg-type]
            assert self._server_quota is not None
            self._server_quota.change(self.server)

        self.schedule(IDLE_S + seconds, change)

    def available_tokens(self) -> float:
        """Return the tokens that the server's quota allowed so far."""
        assert self._server_quota is not None
        return self._server_quota.integral() or 0.0

    def rate_share(self) -> float:
        """Return the rate that is tried, as a share of the server's quota."""
        rate = self.broker.totals(self.account).tokens_per_minute
        return (rate or inf) / (self.server.tokens_per_minute or inf)

    def _send_heartbeat(self, worker: str) -> None:
        self.broker.record_heartbeat(worker, self.now)
        self.schedule(2.0, lambda: self._send_heartbeat(worker))
        self._grant_waiting()

    def _grant_waiting(self) -> None:
        wait_s = self.broker.grant_waiting(self.now)
        wake_at = self.now + wait_s
        if wake_at < inf and not self.now < self._wake_at <= wake_at:
            self._wake_at = wake_at
            self.schedule(wait_s, self._grant_waiting)

    def _start_call(self, worker: str) -> None:
        workload, rng = self.workload, self.random
        size = rng.lognormvariate(math.log(workload.input_tokens), workload.input_sigma)
        tokens = int(min(workload.max_input, max(workload.min_input, size)))
        max_tokens = rng.randint(*workload.max_tokens)
        request = CallRequest(int(tokens * rng.uniform(*workload.estimate)), max_tokens)
        output = int(max_tokens * rng.uniform(*workload.output_share))
        self.schedule(workload.rpc_s, lambda: self._request_lease(worker, request, tokens, output))

    def _request_lease(self, worker: str, request: CallRequest, tokens: int, output: int) -> None:
        def reply(answer: Lease | Refusal) -> None:
            assert isinstance(answer, Lease)
            network_s = self.workload.rpc_s + self._network_s()
            ready_at = self._ready_at.setdefault(
                worker, self.now + self.random.uniform(*self.workload.cold_start_s)
            )
            self.schedule(
                max(ready_at - self.now, 0) + network_s,
                lambda: self._arrive(worker, request, tokens, output, answer),
            )

        self.broker.request_lease(self.account, worker, request, reply, self.now)
        self._grant_waiting()

    def _arrive(
        self, worker: str, request: CallRequest, tokens: int, output: int, lease: Lease
    ) -> None:
        network_s = self._network_s()
        if self._server_quota is None:
            self._server_quota = Quota(self.server, lambda: self.now)
        self.log.requests.append(self.now)
        reserved = tokens + request.max_tokens
        try:
            self._server_quota.admit(reserved)
        except CallRefused as refused:
            self.log.throttles.append(self.now)
            retry_after_s = refused.retry_after_s if self.workload.retry_after else None
            outcome = CallOutcome(throttled=True, retry_after_s=retry_after_s)
            if self.trace:
                print(f"{self.now - self.began:7.2f} 429 rate {self.rate_share():.2f}")

            def retry() -> None:
                self._settle(lease, outcome)
                self._request_lease(worker, replace(request, is_retry=True), tokens, output)

            self.schedule(network_s + self.workload.rpc_s, retry)
            return
        self.log.first = min(self.log.first, self.now)
        latency_s = self.random.lognormvariate(
            math.log(self.workload.latency_s), self.workload.latency_sigma
        )

        def answer() -> None:
            assert self._server_quota is not None
            used = tokens + self.server.burndown * output
            self._server_quota.settle(reserved, used)
            self.log.settled.append((self.now, used))
            back_s = network_s + self.workload.rpc_s
            self.schedule(back_s, lambda: self._settle(lease, CallOutcome(tokens, output)))
            self.schedule(back_s, lambda: self._start_call(worker))

        self.schedule(latency_s, answer)

    def _settle(self, lease: Lease, outcome: CallOutcome) -> None:
        self.broker.settle(lease.number, outcome, self.now)
        self._grant_waiting()

    def _network_s(self) -> float:
        return self.random.expovariate(1 / self.workload.network_s)
