"""The broker as a service on an event loop; `raypipe.quota.actor` makes a Ray actor of it."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, field
from math import inf

from raypipe.options import BudgetOptions, QuotaOptions
from raypipe.prices import Price
from raypipe.quota import Lease, Need, Spent, Totals
from raypipe.quota.broker import Broker, Refusal
from raypipe.quota.budget import Cost, Purse
from raypipe.quota.clients import DEAD_S, Client, Tally

log = logging.getLogger(__name__)

UNUSED_S = 300.0
"""Seconds in which nobody says a word and no call is under way, after which the service ends; the
driver of a run asks for its totals every few seconds."""


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


class QuotaService:
    """A `Broker` on the event loop's clock; a call that waits is a future, and nothing polls.

    Args:
        options: The quota.
        burndown: Quota tokens that one output token costs.
        dead_s: Seconds without a sign of life after which a worker is dead.
    """

    def __init__(self, options: QuotaOptions, burndown: float, dead_s: float = DEAD_S) -> None:
        # No lease of a service before this one has a number that is as high.
        self._life = time.time_ns()
        self._broker = Broker(options, burndown, time.monotonic(), dead_s, self._life)
        self._clients: dict[str, Client] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._heard = time.monotonic()
        self._watch: asyncio.Task[None] | None = None

    async def join(self, joining: Joining, tally: Tally, life: int) -> int:
        """Let a process of a run in; it must before it asks for anything.

        Args:
            joining: The run.
            tally: What the process counted so far.
            life: The service that it told that to; another's count died with it, and is added.

        Returns:
            This service's number.
        """
        self._hear()
        if joining.run not in self._clients:
            purse = Purse(joining.budget, joining.already)
            self._clients[joining.run] = Client(purse, joining.price)
        if life != self._life:
            client = self._clients[joining.run]
            client.tally.add(tally)
            client.purse.correct(Cost(), tally.cost)
        return self._life

    async def configure(self, run: str, options: QuotaOptions, burndown: float) -> None:
        """Go on with the quota of a run that came now."""
        log.info("run %s brings %s", run, options)
        self._broker.configure(options, burndown, self._hear())
        self._turn()

    async def acquire(self, run: str, worker: str, need: Need) -> Lease | Refusal:
        """Wait for a lease, or for why there is none."""
        answer: asyncio.Future[Lease | Refusal] = asyncio.get_running_loop().create_future()

        def give(found: Lease | Refusal) -> None:
            if not answer.done():
                answer.set_result(found)

        self._broker.ask(self._clients[run], worker, need, give, self._hear())
        self._turn()
        return await answer

    async def settle(self, run: str, number: int, need: Need, spent: Spent) -> None:
        """Take a lease back; said twice, it counts once."""
        known = self._broker.settle(number, spent, self._hear())
        if not known and number <= self._life:  # of a service that is no more
            client = self._clients[run]
            cost = client.cost(need, spent)
            client.tally.count(spent, cost)
            client.purse.correct(Cost(), cost)
        self._turn()

    async def seen(self, worker: str) -> None:
        """Note a sign of life of a worker."""
        self._broker.seen(worker, self._hear())
        self._turn()

    async def saved(self, run: str, calls: int) -> None:
        """Count answers that came from the cache."""
        self._hear()
        self._clients[run].tally.counts["cached_calls"] += calls

    async def stop(self, run: str, reason: str) -> None:
        """Give a run no more leases."""
        self._broker.stop(self._clients[run], reason)
        self._turn()

    async def totals(self, run: str) -> Totals:
        """Return a run's numbers."""
        self._hear()
        return self._broker.totals(self._clients[run])

    def end(self) -> None:
        """End the process; nobody uses it."""

    def _turn(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        wait = self._broker.turn(time.monotonic())
        loop = asyncio.get_running_loop()
        self._timer = None if wait == inf else loop.call_later(wait, self._turn)

    def _hear(self) -> float:
        self._heard = time.monotonic()
        if self._watch is None:
            self._watch = asyncio.get_running_loop().create_task(self._end_unused())
        return self._heard

    async def _end_unused(self) -> None:
        while not self._broker.idle or time.monotonic() - self._heard < UNUSED_S:
            await asyncio.sleep(UNUSED_S / 10)
        self.end()
