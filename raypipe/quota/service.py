"""The broker as a service on an event loop; `raypipe.quota.actor` runs it as a Ray actor."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, field
from functools import partial
from math import inf

from raypipe.core.options import QuotaOptions
from raypipe.quota.broker import Broker
from raypipe.quota.budget import BudgetGuard, Cost
from raypipe.quota.messages import Batch, Reply, RunRegistration, Settlement
from raypipe.quota.protocol import Lease, Totals
from raypipe.quota.sessions import DEAD_AFTER_S, CallTally, RunAccount
from raypipe.quota.waiting_calls import Refusal, WaitingCall

log = logging.getLogger(__name__)

UNUSED_S = 300.0
"""The service ends after this many seconds without a message and without a pending call. The driver
of a run asks for its totals every few seconds."""

PAUSE_S = 0.04
"""Seconds between two batches of a process; a lease waits that long on its way. The pause grows
with the number of processes, so that all of them together use a part of one core."""
_WORKERS = 16
"""Number of processes from which on the pause grows."""


@dataclass(slots=True)
class _ClientSession:
    """One process of a run, as the service knows it.

    Args:
        last_batch: Number of its last batch.
        answers: Leases and refusals that it may not have received, by the numbers of its requests.
        sent: Numbers of the answers in the last reply.
        waiting: Its requests that have no answer.
    """

    last_batch: int = 0
    answers: dict[int, Lease | Refusal] = field(default_factory=dict)
    sent: list[int] = field(default_factory=list)
    waiting: dict[int, WaitingCall] = field(default_factory=dict)

    def reply(self, number: int, answer: Lease | Refusal) -> None:
        """Store the answer to a request for the next reply."""
        self.waiting.pop(number, None)
        self.answers[number] = answer

    def acknowledge(self, batch: Batch) -> bool:
        """Drop the answers that a new batch confirms; return whether the batch is new."""
        if batch.number == self.last_batch:
            return False
        self.last_batch = batch.number
        for number in self.sent:
            del self.answers[number]
        return True


class QuotaService:
    """A `Broker` on the event loop's clock. A waiting call is a timer; nothing polls.

    Args:
        options: The quota.
        burndown: Quota tokens per output token.
        dead_after_s: Seconds without a heartbeat after which a worker is dead.
    """

    def __init__(
        self, options: QuotaOptions, burndown: float, dead_after_s: float = DEAD_AFTER_S
    ) -> None:
        # Leases are numbered from the epoch: no lease of an earlier service has a higher number.
        self._epoch = time.time_ns()
        self._broker = Broker(options, burndown, time.monotonic(), dead_after_s, self._epoch)
        self._accounts: dict[str, RunAccount] = {}
        self._sessions: dict[tuple[str, str], _ClientSession] = {}  # by run and process
        self._timer: asyncio.TimerHandle | None = None
        self._last_message = time.monotonic()
        self._watch: asyncio.Task[None] | None = None

    async def register(self, registration: RunRegistration, tally: CallTally, epoch: int) -> int:
        """Register a process of a run, which it must do before it exchanges batches.

        Args:
            registration: The run.
            tally: Counts of the process's calls so far.
            epoch: Epoch of the service that has these counts. If that was an earlier service, its
                counts are lost, and the tally is added here.

        Returns:
            The epoch of this service.
        """
        self._note_message()
        run_id = registration.run_id
        if run_id not in self._accounts:
            budget = BudgetGuard(registration.budget, registration.already_spent)
            self._accounts[run_id] = RunAccount(budget, registration.price)
        if epoch != self._epoch:
            account = self._accounts[run_id]
            account.tally.merge(tally)
            account.budget.correct(Cost(), tally.cost)
        return self._epoch

    async def configure(self, run_id: str, options: QuotaOptions, burndown: float) -> None:
        """Continue with the quota of a run that starts now."""
        log.info("run %s configures the quota: %s", run_id, options)
        self._broker.configure(options, burndown, self._note_message())
        self._grant_waiting()

    async def exchange(self, run_id: str, worker: str, batch: Batch) -> Reply:
        """Apply the batch of a process, and reply to its requests.

        Args:
            run_id: The run that pays.
            worker: Name of the process.
            batch: The batch; a repeated batch is not applied again.

        Returns:
            All answers that the process may not have received.
        """
        now = self._note_message()
        self._broker.record_heartbeat(worker, now)
        session = self._sessions.setdefault((run_id, worker), _ClientSession())
        if session.acknowledge(batch):
            self._apply(run_id, worker, batch, session, now)
        self._grant_waiting()
        session.sent = list(session.answers)
        pause_s = PAUSE_S * max(1.0, self._broker.busy_workers / _WORKERS)
        may_reuse = self._broker.may_reuse_leases(self._accounts[run_id], worker, now)
        return Reply(dict(session.answers), pause_s, may_reuse)

    def _apply(
        self, run_id: str, worker: str, batch: Batch, session: _ClientSession, now: float
    ) -> None:
        account = self._accounts[run_id]
        for settlement in batch.settlements:
            self._settle(account, settlement, session, now)
        account.tally.counts["cached_calls"] += batch.cached_calls
        for number, request in batch.requests.items():
            reply = partial(session.reply, number)
            call = self._broker.request_lease(account, worker, request, reply, now)
            if call is not None:
                session.waiting[number] = call

    def _settle(
        self, account: RunAccount, settlement: Settlement, session: _ClientSession, now: float
    ) -> None:
        """Settle a lease; a repeated settlement counts once."""
        number, outcome = settlement.number, settlement.outcome
        if settlement.reused_by is not None:
            next_number, next_request = settlement.reused_by
            next_call = session.waiting.pop(next_number, None)
            self._broker.reuse_lease(number, outcome, next_request, next_call, now)
            return
        is_known = self._broker.settle(number, outcome, now)
        if not is_known and number <= self._epoch:  # a lease of an earlier service
            cost = account.cost(settlement.request, outcome)
            account.tally.add(outcome, cost)
            account.budget.correct(Cost(), cost)

    async def stop(self, run_id: str, reason: str) -> None:
        """Give a run no more leases."""
        self._broker.stop(self._accounts[run_id], reason)
        self._grant_waiting()

    async def totals(self, run_id: str) -> Totals:
        """Return the counts of a run's calls."""
        self._note_message()
        return self._broker.totals(self._accounts[run_id])

    def end(self) -> None:
        """End the process, because the service is unused."""

    def _grant_waiting(self) -> None:
        """Grant leases now, and again when the broker says so."""
        if self._timer is not None:
            self._timer.cancel()
        wait_s = self._broker.grant_waiting(time.monotonic())
        loop = asyncio.get_running_loop()
        self._timer = None if wait_s == inf else loop.call_later(wait_s, self._grant_waiting)

    def _note_message(self) -> float:
        """Note that the service is in use; return the time."""
        self._last_message = time.monotonic()
        if self._watch is None:
            self._watch = asyncio.get_running_loop().create_task(self._end_when_unused())
        return self._last_message

    async def _end_when_unused(self) -> None:
        while not self._broker.is_idle or time.monotonic() - self._last_message < UNUSED_S:
            await asyncio.sleep(UNUSED_S / 10)
        self.end()
