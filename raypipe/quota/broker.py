"""Grants leases of one pool: first come, first served, and calls that were refused before first.

Plain code on a clock that is handed in; nothing here sleeps. Whoever owns a broker calls `turn`
after whatever happened to it, and again when `turn` says.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from math import inf

from raypipe.core.errors import SetupError
from raypipe.core.options import QuotaOptions
from raypipe.quota.limits import Limits
from raypipe.quota.protocol import CallOutcome, CallRequest, Lease, Totals
from raypipe.quota.reservation import check_call_fits
from raypipe.quota.sessions import DEAD_S, RunAccount, Workers

LEAST_WAIT_S = 0.001


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why there is no lease.

    Args:
        kind: `left` (the run stops), `budget` (nothing else fits either), `setup` (no such call
            can ever be made), `again` (the worker was taken for dead: it asks once more).
        reason: For a person.
    """

    kind: str
    reason: str


Give = Callable[["Lease | Refusal"], None]


@dataclass(frozen=True, slots=True, eq=False)
class Waiter:
    """A call that waits for its lease."""

    client: RunAccount
    worker: str
    need: CallRequest
    give: Give


@dataclass(slots=True)
class _Held:
    client: RunAccount
    worker: str
    need: CallRequest
    reserved: float
    at: float
    given_up: bool = False


class Broker:
    """The leases of one pool.

    Args:
        options: The quota.
        burndown: Quota tokens that one output token costs.
        now: Seconds, monotonic.
        dead_s: Seconds without a sign of life after which a worker is dead.
        last_lease: Leases are numbered from here on, so that those of a broker that is no more
            are not mistaken for new ones.
    """

    def __init__(
        self,
        options: QuotaOptions,
        burndown: float,
        now: float,
        dead_s: float = DEAD_S,
        last_lease: int = 0,
    ) -> None:
        self._options, self._burndown = options, burndown
        self._limits = Limits(options, burndown, now)
        self._first: deque[Waiter] = deque()
        self._queue: deque[Waiter] = deque()
        self._held: dict[int, _Held] = {}
        self._workers = Workers(dead_s)
        self._in_flight = 0
        self._number = last_lease
        self.paused = ""  # why nothing goes on today

    @property
    def idle(self) -> bool:
        """Whether no call waits or is in flight."""
        return not (self._first or self._queue or self._in_flight)

    @property
    def workers(self) -> int:
        """How many processes have something to do."""
        return len(self._workers)

    def configure(self, options: QuotaOptions, burndown: float, now: float) -> None:
        """Go on with another quota, with empty buckets; the same changes nothing."""
        if (options, burndown) != (self._options, self._burndown):
            self._options, self._burndown = options, burndown
            self._limits = Limits(options, burndown, now)

    def ask(
        self, client: RunAccount, worker: str, need: CallRequest, give: Give, now: float
    ) -> Waiter | None:
        """Put a call in the queue.

        Args:
            client: The run that pays.
            worker: The process that calls.
            need: What it may take.
            give: Gets the lease or the refusal, in this call or in a later `turn`.
            now: Seconds.

        Returns:
            What waits, for `settle`; None = it has its refusal.
        """
        if client.stop:
            give(Refusal("left", client.stop))
            return None
        try:
            check_call_fits(self._options, need)
        except SetupError as error:
            give(Refusal("setup", str(error)))
            return None
        self._workers.seen(worker, now)
        self._workers.busy(worker, 1)
        waiter = Waiter(client, worker, need, give)
        (self._first if need.is_retry else self._queue).append(waiter)
        return waiter

    def may_hand_on(self, client: RunAccount, worker: str, now: float) -> bool:
        """Whether a worker may give what it settles to its own next call, without asking.

        Where calls in flight are what limits, a lease that goes to and fro is time in which a
        call less is in flight. A worker with more than its share gives back.
        """
        share = -(-self._options.max_in_flight // max(1, self.workers))
        return (
            self._limits.has_plenty(now)
            and not (client.stop or client.purse.bounded)
            and self._in_flight <= self._options.max_in_flight
            and self._workers.held(worker) <= share
        )

    def handed_on(
        self, number: int, spent: CallOutcome, need: CallRequest, waiter: Waiter | None, now: float
    ) -> None:
        """Note that a worker settled a lease and gave it to another of its calls.

        Args:
            number: The lease's, before and after.
            spent: What became of the call before.
            need: What the next one may take.
            waiter: The next one, if it waits here.
            now: Seconds.
        """
        held = self._held.get(number)
        if not self.settle(number, spent, now):
            return
        assert held is not None
        if waiter is not None and waiter in (self._first if waiter.need.is_retry else self._queue):
            self._withdraw(waiter)
        reserved = self._limits.reserved(need)
        self._hold(number, _Held(held.client, held.worker, need, reserved, now))

    def settle(self, number: int, spent: CallOutcome, now: float) -> bool:
        """Take a lease back.

        Returns:
            Whether the lease is known; one of before a restart is not.
        """
        held = self._held.pop(number, None)
        if held is None:
            return False
        client, worst = held.client, held.client.worst(held.need)
        if held.given_up:  # the worker lives after all
            client.tally.count(CallOutcome(unknown=True), worst, -1)
            client.purse.correct(worst, client.cost(held.need, spent))
        else:
            self._workers.seen(held.worker, now)
            self._workers.hold(held.worker, -1)
            self._end(held, spent)
        client.tally.count(spent, client.cost(held.need, spent))
        self._limits.settle(held.need, held.reserved, held.at, spent, now)
        return True

    def seen(self, worker: str, now: float) -> None:
        """Note a sign of life of a worker."""
        self._workers.seen(worker, now)

    def stop(self, client: RunAccount, reason: str) -> None:
        """Give a run no more leases; the first reason stays."""
        client.stop = client.stop or reason
        for waiter in [*self._first, *self._queue]:
            if waiter.client is client:
                self._answer(waiter, Refusal("left", client.stop))

    def totals(self, client: RunAccount) -> Totals:
        """Return a run's numbers with this pool."""
        return Totals(
            **client.tally.counts,
            usd=client.tally.usd,
            in_flight=client.in_flight,
            tokens_per_minute=self._limits.tokens_per_minute,
            paused=self.paused,
        )

    def turn(self, now: float) -> float:
        """Grant what can be granted.

        Returns:
            Seconds until it has to be called again; infinite = not before something happens.
        """
        self._bury(now)
        waits = self._grant(now)
        self._refuse_unaffordable()
        # A clock may not resolve less than this.
        return max(LEAST_WAIT_S, min([waits, *self._workers.next_death_s(now)]))

    def _grant(self, now: float) -> float:
        self.paused = ""
        for waiter in [*self._first, *self._queue]:
            if self._in_flight >= self._options.max_in_flight:
                break
            if not self._workers.lives(waiter.worker, now) or not self._affordable(waiter):
                continue
            reserved = self._limits.reserved(waiter.need)
            if (wait := self._limits.lacking_s(reserved, now)) > 0:
                self.paused = self._limits.paused(reserved, now)
                return wait
            self._lease(waiter, reserved, now)
        self._limits.idle(now)
        return inf

    def _lease(self, waiter: Waiter, reserved: float, now: float) -> None:
        self._number += 1
        self._hold(self._number, _Held(waiter.client, waiter.worker, waiter.need, reserved, now))
        self._answer(waiter, Lease(self._number))

    def _hold(self, number: int, held: _Held) -> None:
        self._limits.take(held.need, held.reserved, held.at)
        held.client.purse.hold(held.client.worst(held.need))
        held.client.in_flight += 1
        self._in_flight += 1
        self._held[number] = held
        self._workers.seen(held.worker, held.at)
        self._workers.hold(held.worker, 1)

    def _affordable(self, waiter: Waiter) -> bool:
        return waiter.client.purse.fits(waiter.client.worst(waiter.need))

    def _refuse_unaffordable(self) -> None:
        """Refuse calls that no call in flight can make room for."""
        for waiter in [*self._first, *self._queue]:
            if not waiter.client.purse.waits and not self._affordable(waiter):
                reason = waiter.client.purse.used_up(waiter.client.worst(waiter.need))
                self._answer(waiter, Refusal("budget", reason))

    def _bury(self, now: float) -> None:
        """Settle what dead workers held as spent: their requests may have been answered."""
        dead = set(self._workers.dead(now))
        if not dead:
            return
        for held in self._held.values():
            if held.worker in dead and not held.given_up:
                held.given_up = True
                self._end(held, CallOutcome(unknown=True))
                held.client.tally.count(CallOutcome(unknown=True), held.client.worst(held.need))
        for waiter in [*self._first, *self._queue]:
            if waiter.worker in dead:
                self._answer(waiter, Refusal("again", "no sign of life for too long"))

    def _end(self, held: _Held, spent: CallOutcome) -> None:
        client = held.client
        client.purse.settle(client.worst(held.need), client.cost(held.need, spent))
        self._limits.ended(held.need, held.reserved)
        client.in_flight -= 1
        self._in_flight -= 1

    def _answer(self, waiter: Waiter, answer: Lease | Refusal) -> None:
        self._withdraw(waiter)
        waiter.give(answer)

    def _withdraw(self, waiter: Waiter) -> None:
        (self._first if waiter.need.is_retry else self._queue).remove(waiter)
        self._workers.busy(waiter.worker, -1)
