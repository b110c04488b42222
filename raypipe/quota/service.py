"""The broker as a service on an event loop; `raypipe.quota.actor` makes a Ray actor of it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import inf

from raypipe.core.options import BudgetOptions, QuotaOptions
from raypipe.quota.broker import Broker, Refusal, Waiter
from raypipe.quota.budget import BudgetGuard, Cost
from raypipe.quota.prices import Price
from raypipe.quota.protocol import CallOutcome, CallRequest, Lease, Totals
from raypipe.quota.sessions import DEAD_S, CallTally, RunAccount

log = logging.getLogger(__name__)

UNUSED_S = 300.0
"""Seconds in which nobody says a word and no call is under way, after which the service ends; the
driver of a run asks for its totals every few seconds."""

PAUSE_S = 0.04
"""Between two words of a process; a lease waits that long on its way. It grows with the number of
processes, so that all of them together take a part of one core."""
_WORKERS = 16


@dataclass(frozen=True)
class RunRegistration:
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


@dataclass(frozen=True, slots=True)
class Settled:
    """A lease that is given back.

    Args:
        number: The lease's.
        need: What it was for: a service that is no more cannot be asked.
        spent: What became of it.
        handed_to: The ask that has it now, and what that may take; None = it is given back.
    """

    number: int
    need: CallRequest
    spent: CallOutcome
    handed_to: tuple[int, CallRequest] | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """What a process says at once.

    Args:
        number: Another one than that of the batch before.
        asks: Calls that want a lease, by numbers of the process's own.
        settled: Leases that it gives back.
        saved: Answers that came from the cache.
    """

    number: int
    asks: Mapping[int, CallRequest]
    settled: Sequence[Settled] = ()
    saved: int = 0


@dataclass(frozen=True, slots=True)
class Reply:
    """What it is told.

    Args:
        answers: By the numbers of the asks.
        pause_s: When to come again, if it has anything to say or to ask.
        hands_on: Whether it may give what it settles to its own next call.
    """

    answers: Mapping[int, Lease | Refusal]
    pause_s: float
    hands_on: bool = False


@dataclass(slots=True)
class _ClientSession:
    """One process, as the service sees it."""

    number: int = 0  # of its last batch
    answers: dict[int, Lease | Refusal] = field(default_factory=dict)
    told: list[int] = field(default_factory=list)  # of those, in the last reply
    waiting: dict[int, Waiter] = field(default_factory=dict)

    def give(self, number: int, answer: Lease | Refusal) -> None:
        self.waiting.pop(number, None)
        self.answers[number] = answer


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
        self._clients: dict[str, RunAccount] = {}
        self._desks: dict[tuple[str, str], _ClientSession] = {}  # by run and process
        self._timer: asyncio.TimerHandle | None = None
        self._heard = time.monotonic()
        self._watch: asyncio.Task[None] | None = None

    async def join(self, joining: RunRegistration, tally: CallTally, life: int) -> int:
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
            purse = BudgetGuard(joining.budget, joining.already)
            self._clients[joining.run] = RunAccount(purse, joining.price)
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

    async def exchange(self, run: str, worker: str, batch: Batch) -> Reply:
        """Hear what a process has to say, and answer what it asked, now or before.

        Args:
            run: The run that pays.
            worker: The process.
            batch: What it says; the same one again says nothing new.

        Returns:
            All answers that the process is not known to have.
        """
        now = self._hear()
        self._broker.seen(worker, now)
        desk = self._desks.setdefault((run, worker), _ClientSession())
        if batch.number != desk.number:
            desk.number = batch.number
            for number in desk.told:
                del desk.answers[number]
            self._heard_of(run, worker, batch, desk, now)
        self._turn()
        desk.told = list(desk.answers)
        pause_s = PAUSE_S * max(1.0, self._broker.workers / _WORKERS)
        hands_on = self._broker.may_hand_on(self._clients[run], worker, now)
        return Reply(dict(desk.answers), pause_s, hands_on)

    def _heard_of(
        self, run: str, worker: str, batch: Batch, desk: _ClientSession, now: float
    ) -> None:
        client = self._clients[run]
        for settled in batch.settled:
            self._settle(client, settled, desk, now)
        client.tally.counts["cached_calls"] += batch.saved
        for number, need in batch.asks.items():
            waiter = self._broker.ask(client, worker, need, partial(desk.give, number), now)
            if waiter is not None:
                desk.waiting[number] = waiter

    def _settle(
        self, client: RunAccount, settled: Settled, desk: _ClientSession, now: float
    ) -> None:
        """Take a lease back; said twice, it counts once."""
        if settled.handed_to is not None:
            ask, need = settled.handed_to
            waiter = desk.waiting.pop(ask, None)
            self._broker.handed_on(settled.number, settled.spent, need, waiter, now)
            return
        known = self._broker.settle(settled.number, settled.spent, now)
        if not known and settled.number <= self._life:  # of a service that is no more
            cost = client.cost(settled.need, settled.spent)
            client.tally.count(settled.spent, cost)
            client.purse.correct(Cost(), cost)

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
