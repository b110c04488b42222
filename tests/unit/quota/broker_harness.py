"""A broker on a clock that the test moves, and the answers of the broker."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

from raypipe.core.options import BudgetOptions, QuotaOptions
from raypipe.quota.broker import Broker
from raypipe.quota.budget import BudgetGuard, Cost
from raypipe.quota.prices import Price
from raypipe.quota.protocol import CallOutcome, CallRequest, Lease, Totals
from raypipe.quota.sessions import RunAccount
from raypipe.quota.waiting_calls import Refusal

PRICE = Price(1.0, 10.0)  # dollars per million tokens


def run_account(
    max_usd: float | None = None, max_tokens: int | None = None, already_spent: Cost | None = None
) -> RunAccount:
    budget = BudgetGuard(BudgetOptions(max_usd, max_tokens), already_spent or Cost())
    return RunAccount(budget, PRICE)


@dataclass
class BrokerHarness:
    """Requests leases by a name for each call; `granted` has the names in order."""

    quota: QuotaOptions = field(default_factory=lambda: QuotaOptions(managed=False))
    burndown: float = 1.0
    now: float = 50.0
    dead_after_s: float = 30.0

    def __post_init__(self) -> None:
        self.broker = Broker(self.quota, self.burndown, self.now, self.dead_after_s)
        self.account = run_account()
        self.granted: list[str] = []
        self.leases: dict[str, Lease] = {}
        self.refused: dict[str, Refusal] = {}

    def request(
        self,
        name: str,
        tokens: int = 100,
        max_tokens: int = 0,
        *,
        is_retry: bool = False,
        worker: str = "worker",
        account: RunAccount | None = None,
    ) -> None:
        request = CallRequest(tokens, max_tokens, is_retry)
        reply = partial(self._receive, name)
        self.broker.request_lease(account or self.account, worker, request, reply, self.now)
        self.broker.grant_waiting(self.now)

    def settle(self, name: str, outcome: CallOutcome | None = None) -> bool:
        number = self.leases[name].number
        is_known = self.broker.settle(number, outcome or CallOutcome(), self.now)
        self.broker.grant_waiting(self.now)
        return is_known

    def wait(self, seconds: float) -> None:
        """Move the clock as the owner of a broker does, calling it when it asks to be called.

        The worker named `worker` sends heartbeats.
        """
        end = self.now + seconds
        while self.now < end:
            self.broker.record_heartbeat("worker", self.now)
            wait_s = min(self.broker.grant_waiting(self.now), 5.0)
            self.now += min(wait_s, end - self.now)

    def fill_bucket(self) -> None:
        """Fill the bucket, which begins to fill with the first call; this call takes nothing."""
        self.request("nothing", 0)
        self.settle("nothing")
        self.wait(60)
        self.granted.clear()

    def heartbeat(self, worker: str = "worker") -> None:
        self.broker.record_heartbeat(worker, self.now)
        self.broker.grant_waiting(self.now)

    def totals(self, account: RunAccount | None = None) -> Totals:
        return self.broker.totals(account or self.account)

    def _receive(self, name: str, answer: Lease | Refusal) -> None:
        if isinstance(answer, Lease):
            self.granted.append(name)
            self.leases[name] = answer
        else:
            self.refused[name] = answer
