"""The broker as one Ray actor a pool, found by name from every run and worker of a cluster.

It is detached, so that a run that shares it may outlive the one that made it, and it ends by
itself once no run has given a sign of life for a while. After a restart its bucket is empty, and
leases of before are not known any more: both err on the side of the quota.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from typing import Any

import ray
from ray.exceptions import RayActorError

from raypipe.book import LeftError
from raypipe.errors import SetupError
from raypipe.options import BudgetOptions, QuotaOptions
from raypipe.prices import Price
from raypipe.quota import NAMESPACE, Lease, Need, Spent, Totals
from raypipe.quota.broker import Broker, Refusal
from raypipe.quota.budget import Cost, Purse
from raypipe.quota.clients import DEAD_S, Client

UNUSED_S = 60.0
"""Seconds without a sign of life of any run after which the actor ends; a driver asks for its
totals several times a second."""
PING_S = 2.0
"""Between two signs of life of a worker that waits or holds leases; see `clients.DOUBT_S`."""
TRIES = 4
"""How often a call looks for the actor, or makes it anew, before the run is given up."""
_CONCURRENCY = 10_000  # calls that may wait for a lease at once


@dataclass(frozen=True)
class Joining:
    """What a run brings to a pool's broker.

    Args:
        run: The run's id; unique on the cluster.
        price: What the pool's tokens cost.
        budget: The run's budget.
        already: What was spent before and counts.
    """

    run: str
    price: Price
    budget: BudgetOptions
    already: Cost = field(default_factory=Cost)


class QuotaActor:
    """The actor's own code: a `Broker` on the event loop's clock.

    Args:
        options: The quota.
        burndown: Quota tokens that one output token costs.
        dead_s: Seconds without a sign of life after which a worker is dead.
    """

    def __init__(self, options: QuotaOptions, burndown: float, dead_s: float = DEAD_S) -> None:
        self._broker = Broker(options, burndown, time.monotonic(), dead_s)
        self._clients: dict[str, Client] = {}
        self._seen: dict[str, float] = {}
        self._cached: dict[str, int] = {}
        self._next: asyncio.TimerHandle | None = None
        self._watch: asyncio.Task[None] | None = None

    async def join(self, joining: Joining) -> None:
        """Let a run in; once more changes nothing."""
        self._seen[joining.run] = time.monotonic()
        if joining.run not in self._clients:
            purse = Purse(joining.budget, joining.already)
            self._clients[joining.run] = Client(joining.run, purse, joining.price)
        if self._watch is None:
            self._watch = asyncio.get_running_loop().create_task(self._end_unused())

    async def acquire(self, joining: Joining, worker: str, need: Need) -> Lease | Refusal:
        """Wait for a lease, or for why there is none."""
        await self.join(joining)
        answer: asyncio.Future[Lease | Refusal] = asyncio.get_running_loop().create_future()

        def give(found: Lease | Refusal) -> None:
            if not answer.done():
                answer.set_result(found)

        client = self._clients[joining.run]
        if client.stop:
            return Refusal("left", client.stop)
        self._broker.ask(client, worker, need, give, time.monotonic())
        self._turn()
        return await answer

    async def settle(self, number: int, spent: Spent) -> None:
        """Take a lease back; one of before a restart is not known and changes nothing."""
        self._broker.settle(number, spent, time.monotonic())
        self._turn()

    async def seen(self, worker: str) -> None:
        """Note a sign of life of a worker."""
        self._broker.seen(worker, time.monotonic())
        self._turn()

    async def saved(self, joining: Joining, calls: int) -> None:
        """Count answers that came from the cache."""
        self._cached[joining.run] = self._cached.get(joining.run, 0) + calls

    async def stop(self, joining: Joining, reason: str) -> None:
        """Give a run no more leases."""
        await self.join(joining)
        self._broker.stop(self._clients[joining.run], reason)
        self._turn()

    async def totals(self, joining: Joining) -> Totals:
        """Return a run's numbers; a sign of life of its driver."""
        await self.join(joining)
        told = self._broker.totals(self._clients[joining.run])
        cached = self._cached.get(joining.run, 0)
        return Totals(**{**_fields(told), "cached_calls": cached})

    def _turn(self) -> None:
        if self._next is not None:
            self._next.cancel()
        wait = self._broker.turn(time.monotonic())
        loop = asyncio.get_running_loop()
        self._next = None if wait == inf else loop.call_later(wait, self._turn)

    async def _end_unused(self) -> None:
        while True:
            await asyncio.sleep(UNUSED_S / 4)
            if time.monotonic() - max(self._seen.values()) > UNUSED_S:
                ray.kill(ray.get_runtime_context().current_actor)


def _fields(totals: Totals) -> dict[str, Any]:
    return {name: getattr(totals, name) for name in Totals.__dataclass_fields__}


@dataclass(frozen=True)
class RemotePermits:
    """A pool's quota as a run and its workers see it; pickles to a few bytes.

    Args:
        pool: The pool's name.
        options: The quota, for who makes the actor.
        joining: What the run brings.
        dead_s: Seconds without a sign of life after which a worker is dead.
    """

    pool: str
    options: QuotaOptions
    joining: Joining
    dead_s: float = DEAD_S
    _here: _Here = field(default_factory=lambda: _Here(), repr=False, compare=False)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the settings; threads and handles belong to this process."""
        return RemotePermits, (self.pool, self.options, self.joining, self.dead_s)

    def acquire(self, need: Need) -> Lease:
        """Wait for leave to make one call.

        Raises:
            LeftError: The run stops, or the budget holds no such call.
            SetupError: No such call can ever be made, or the actor cannot be had.
        """
        self._here.begin(self._ping)
        try:
            return self._leased(need)
        except BaseException:
            self._here.end()
            raise

    def settle(self, lease: Lease, spent: Spent) -> None:
        """Give back what a call did not take; nobody waits for it to arrive."""
        self._here.end()
        try:
            self._actor().settle.remote(lease.number, spent)
        except RayActorError:
            self._here.forget()  # the next `acquire` finds or makes another

    def saved(self, calls: int) -> None:
        """Count answers that came from the cache."""
        self._actor().saved.remote(self.joining, calls)

    def stop(self, reason: str) -> None:
        """Give the run no more leases."""
        self._asked("stop", reason)

    def totals(self) -> Totals:
        """Return the numbers so far."""
        totals: Totals = self._asked("totals")
        return totals

    def _leased(self, need: Need) -> Lease:
        while True:
            answer = self._asked("acquire", _worker(), need)
            if isinstance(answer, Lease):
                return answer
            if answer.kind == "setup":
                raise SetupError(answer.reason)
            if answer.kind != "again":
                raise LeftError(answer.reason, stops=answer.kind == "budget")

    def _asked(self, method: str, *args: Any) -> Any:
        for attempt in range(TRIES):
            try:
                return ray.get(getattr(self._actor(), method).remote(self.joining, *args))
            except RayActorError:
                self._here.forget()
                time.sleep(0.5 * attempt)
        raise SetupError(
            f"the actor that keeps the quota of {self.pool} ends again and again; look at its log "
            "on Ray's dashboard, then run again"
        )

    def _actor(self) -> Any:
        return self._here.actor(self._made)

    def _made(self) -> Any:
        remote: Any = ray.remote(QuotaActor)
        return remote.options(
            name=f"raypipe-quota:{self.pool}",
            namespace=NAMESPACE,
            get_if_exists=True,
            lifetime="detached",
            num_cpus=0,
            max_restarts=0,
            max_concurrency=_CONCURRENCY,
        ).remote(self.options, self.joining.price.burndown, self.dead_s)

    def _ping(self) -> None:
        self._actor().seen.remote(_worker())


class _Here:
    """What of the permits belongs to this process: the handle, and signs of life."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: Any = None
        self._busy = 0
        self._pinging = False

    def actor(self, make: Callable[[], Any]) -> Any:
        """Return the actor's handle, found or made on first use."""
        with self._lock:
            if self._found is None:
                self._found = make()
            return self._found

    def forget(self) -> None:
        """Look for the actor again the next time."""
        with self._lock:
            self._found = None

    def begin(self, ping: Callable[[], None]) -> None:
        """Count a call that waits for a lease or holds one; give signs of life meanwhile."""
        with self._lock:
            self._busy += 1
            if self._pinging:
                return
            self._pinging = True
        threading.Thread(target=self._ping, args=(ping,), name="quota-ping", daemon=True).start()

    def end(self) -> None:
        """Count it as over."""
        with self._lock:
            self._busy -= 1

    def _ping(self, ping: Callable[[], None]) -> None:
        while True:
            time.sleep(PING_S)
            with self._lock:
                if not self._busy:
                    self._pinging = False
                    return
            try:
                ping()
            except RayActorError:
                self.forget()


def _worker() -> str:
    """Return the id of this process; a fork is another one."""
    pid = os.getpid()
    if pid not in _IDS:
        _IDS[pid] = f"{pid}-{uuid.uuid4().hex[:12]}"
    return _IDS[pid]


_IDS: dict[int, str] = {}


def broker_for(pool: str, options: QuotaOptions, joining: Joining) -> RemotePermits:
    """Return a pool's permits for a run; its actor is found, or made."""
    permits = RemotePermits(pool, options, joining)
    permits.totals()
    return permits
