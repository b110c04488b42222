"""Grant the leases of one pool: first come, first served, but refused calls come first.

Plain code on a clock that is passed in; nothing here sleeps. The owner of a broker calls
`grant_waiting` after each event, and again after the seconds that it returns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf

from raypipe.core.errors import SetupError
from raypipe.core.options import QuotaOptions
from raypipe.quota.call_size import check_call_fits
from raypipe.quota.limits import Limits
from raypipe.quota.protocol import CallOutcome, CallRequest, Lease, Totals
from raypipe.quota.sessions import DEAD_AFTER_S, UNKNOWN, RunAccount, Workers
from raypipe.quota.waiting_calls import Refusal, WaitingCall, WaitingCalls

MIN_WAIT_S = 0.001
"""A clock may not resolve a shorter wait."""


@dataclass(slots=True)
class _HeldLease:
    """A lease that is not settled yet.

    Args:
        account: The account that pays.
        worker: The process that makes the call.
        request: The most that the call can take.
        reserved: Quota tokens that the call was charged.
        granted_at: Monotonic seconds.
        given_up: Whether the worker died, and the call counts as spent.
    """

    account: RunAccount
    worker: str
    request: CallRequest
    reserved: float
    granted_at: float
    given_up: bool = False


class Broker:
    """The leases of one pool.

    Args:
        options: The quota.
        burndown: Quota tokens per output token.
        now: Monotonic seconds.
        dead_after_s: Seconds without a heartbeat after which a worker is dead.
        last_lease: Number before the first lease, so that leases of an earlier broker are not
            mistaken for leases of this one.
    """

    def __init__(
        self,
        options: QuotaOptions,
        burndown: float,
        now: float,
        dead_after_s: float = DEAD_AFTER_S,
        last_lease: int = 0,
    ) -> None:
        self._options, self._burndown = options, burndown
        self._limits = Limits(options, burndown, now)
        self._waiting = WaitingCalls()
        self._held: dict[int, _HeldLease] = {}
        self._workers = Workers(dead_after_s)
        self._in_flight = 0
        self._last_number = last_lease
        self._pause_reason = ""

    @property
    def is_idle(self) -> bool:
        """Return whether no call waits or is in flight."""
        return not (self._waiting or self._in_flight)

    @property
    def busy_workers(self) -> int:
        """Return the number of processes that hold leases or wait for them."""
        return len(self._workers)

    def configure(self, options: QuotaOptions, burndown: float, now: float) -> None:
        """Continue with another quota and empty buckets; equal options change nothing."""
        if (options, burndown) != (self._options, self._burndown):
            self._options, self._burndown = options, burndown
            self._limits = Limits(options, burndown, now)

    def request_lease(
        self,
        account: RunAccount,
        worker: str,
        request: CallRequest,
        reply: Callable[[Lease | Refusal], None],
        now: float,
    ) -> WaitingCall | None:
        """Add a call to the queue.

        Args:
            account: The account that pays.
            worker: The process that makes the call.
            request: The most that the call can take.
            reply: Called with the lease or the refusal, now or in a later `grant_waiting`.
            now: Monotonic seconds.

        Returns:
            The waiting call, or None if it was refused at once.
        """
        if account.stop_reason:
            reply(Refusal("stopped", account.stop_reason))
            return None
        try:
            check_call_fits(self._options, request)
        except SetupError as error:
            reply(Refusal("setup", str(error)))
            return None
        self._workers.record_heartbeat(worker, now)
        self._workers.add_busy(worker, 1)
        call = WaitingCall(account, worker, request, reply)
        self._waiting.add(call)
        return call

    def may_reuse_leases(self, account: RunAccount, worker: str, now: float) -> bool:
        """Return whether a worker may pass a lease that it settles to its own next call.

        If only the calls in flight limit the rate, the way of a lease to the broker and back is
        time with a call less in flight. A worker with more than its share has to give leases back.
        """
        share = -(-self._options.max_in_flight // max(1, self.busy_workers))
        return (
            self._limits.has_plenty(now)
            and not (account.stop_reason or account.budget.has_limit)
            and self._in_flight <= self._options.max_in_flight
            and self._workers.leases(worker) <= share
        )

    def reuse_lease(
        self,
        number: int,
        outcome: CallOutcome,
        next_request: CallRequest,
        next_call: WaitingCall | None,
        now: float,
    ) -> None:
        """Note that a worker settled a lease and passed it to another of its calls.

        Args:
            number: Number of the lease, before and after.
            outcome: Outcome of the settled call.
            next_request: The most that the next call can take.
            next_call: The next call, if it waits here.
            now: Monotonic seconds.
        """
        held = self._held.get(number)
        if held is None or not self.settle(number, outcome, now):
            return
        if next_call is not None and next_call in self._waiting:
            self._remove(next_call)
        reserved = self._limits.reserved_tokens(next_request)
        self._hold(number, _HeldLease(held.account, held.worker, next_request, reserved, now))

    def settle(self, number: int, outcome: CallOutcome, now: float) -> bool:
        """Take a lease back.

        Returns:
            Whether the lease is known; a lease from before a restart is not.
        """
        held = self._held.pop(number, None)
        if held is None:
            return False
        account, cost = held.account, held.account.cost(held.request, outcome)
        if held.given_up:  # the worker is alive after all
            max_cost = account.max_cost(held.request)
            account.tally.subtract(UNKNOWN, max_cost)
            account.budget.correct(max_cost, cost)
        else:
            self._workers.record_heartbeat(held.worker, now)
            self._workers.add_leases(held.worker, -1)
            self._end(held, outcome)
        account.tally.add(outcome, cost)
        self._limits.settle(held.request, held.reserved, held.granted_at, outcome, now)
        return True

    def record_heartbeat(self, worker: str, now: float) -> None:
        """Record a heartbeat of a worker."""
        self._workers.record_heartbeat(worker, now)

    def stop(self, account: RunAccount, reason: str) -> None:
        """Give a run no more leases; the first reason is kept."""
        account.stop_reason = account.stop_reason or reason
        for call in self._waiting:
            if call.account is account:
                self._reply(call, Refusal("stopped", account.stop_reason))

    def totals(self, account: RunAccount) -> Totals:
        """Return the counts of a run's calls to this pool."""
        return Totals(
            **account.tally.counts,
            usd=account.tally.usd,
            in_flight=account.in_flight,
            tokens_per_minute=self._limits.tokens_per_minute,
            paused=self._pause_reason,
        )

    def grant_waiting(self, now: float) -> float:
        """Grant every lease that can be granted.

        Returns:
            Seconds after which to call this again; infinite if only an event can change anything.
        """
        self._give_up_dead_workers(now)
        wait_s = self._grant(now)
        self._refuse_unaffordable()
        return max(MIN_WAIT_S, min([wait_s, *self._workers.seconds_to_death(now)]))

    def _grant(self, now: float) -> float:
        self._pause_reason = ""
        for call in self._waiting:
            if self._in_flight >= self._options.max_in_flight:
                break
            if not self._workers.is_alive(call.worker, now) or not _is_affordable(call):
                continue
            reserved = self._limits.reserved_tokens(call.request)
            if (wait_s := self._limits.wait_s(reserved, now)) > 0:
                self._pause_reason = self._limits.pause_reason(reserved, now)
                return wait_s
            self._last_number += 1
            held = _HeldLease(call.account, call.worker, call.request, reserved, now)
            self._hold(self._last_number, held)
            self._reply(call, Lease(self._last_number))
        self._limits.note_no_waiting_calls(now)
        return inf

    def _hold(self, number: int, held: _HeldLease) -> None:
        self._limits.charge(held.request, held.reserved, held.granted_at)
        held.account.budget.reserve(held.account.max_cost(held.request))
        held.account.in_flight += 1
        held.account.tally.counts["retries"] += held.request.is_retry
        self._in_flight += 1
        self._held[number] = held
        self._workers.record_heartbeat(held.worker, held.granted_at)
        self._workers.add_leases(held.worker, 1)

    def _refuse_unaffordable(self) -> None:
        """Refuse calls for which no call in flight can make room in the budget."""
        for call in self._waiting:
            budget = call.account.budget
            if not budget.has_calls_in_flight and not _is_affordable(call):
                reason = budget.explain_refusal(call.account.max_cost(call.request))
                self._reply(call, Refusal("budget", reason))

    def _give_up_dead_workers(self, now: float) -> None:
        """Count the calls of dead workers as spent: the server may have answered them."""
        dead = set(self._workers.remove_dead(now))
        if not dead:
            return
        for held in self._held.values():
            if held.worker in dead and not held.given_up:
                held.given_up = True
                self._end(held, UNKNOWN)
                held.account.tally.add(UNKNOWN, held.account.max_cost(held.request))
        for call in self._waiting:
            if call.worker in dead:
                self._reply(call, Refusal("retry", "the worker sent no heartbeat for too long"))

    def _end(self, held: _HeldLease, outcome: CallOutcome) -> None:
        account = held.account
        cost = account.cost(held.request, outcome)
        account.budget.settle(account.max_cost(held.request), cost)
        self._limits.end(held.request, held.reserved)
        account.in_flight -= 1
        self._in_flight -= 1

    def _reply(self, call: WaitingCall, answer: Lease | Refusal) -> None:
        self._remove(call)
        call.reply(answer)

    def _remove(self, call: WaitingCall) -> None:
        self._waiting.remove(call)
        self._workers.add_busy(call.worker, -1)


def _is_affordable(call: WaitingCall) -> bool:
    return call.account.budget.fits(call.account.max_cost(call.request))
