"""A broker on a clock that a test turns, and what it answered."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

from raypipe.core.options import BudgetOptions, QuotaOptions
from raypipe.quota.broker import Broker, Refusal
from raypipe.quota.budget import BudgetGuard, Cost
from raypipe.quota.prices import Price
from raypipe.quota.protocol import CallOutcome, CallRequest, Lease, Totals
from raypipe.quota.sessions import RunAccount

PRICE = Price(1.0, 10.0)  # dollars a million tokens


def client(
    max_usd: float | None = None, max_tokens: int | None = None, already: Cost | None = None
) -> RunAccount:
    return RunAccount(BudgetGuard(BudgetOptions(max_usd, max_tokens), already or Cost()), PRICE)


@dataclass
class Desk:
    """Asks by a name for each call; `granted` has the names in their order."""

    quota: QuotaOptions = field(default_factory=lambda: QuotaOptions(managed=False))
    burndown: float = 1.0
    now: float = 50.0
    dead_s: float = 30.0

    def __post_init__(self) -> None:
        self.broker = Broker(self.quota, self.burndown, self.now, self.dead_s)
        self.client = client()
        self.granted: list[str] = []
        self.leases: dict[str, Lease] = {}
        self.refused: dict[str, Refusal] = {}

    def ask(
        self,
        name: str,
        tokens: int = 100,
        max_tokens: int = 0,
        *,
        again: bool = False,
        worker: str = "worker",
        of: RunAccount | None = None,
    ) -> None:
        need = CallRequest(tokens, max_tokens, again)
        self.broker.ask(of or self.client, worker, need, partial(self._given, name), self.now)
        self.broker.turn(self.now)

    def settle(self, name: str, spent: CallOutcome | None = None) -> bool:
        known = self.broker.settle(self.leases[name].number, spent or CallOutcome(), self.now)
        self.broker.turn(self.now)
        return known

    def wait(self, seconds: float) -> None:
        """Let time pass, as whoever owns a broker does: turning it when it asks for that.

        The worker called `worker` gives signs of life.
        """
        end = self.now + seconds
        while self.now < end:
            self.broker.seen("worker", self.now)
            wait = min(self.broker.turn(self.now), 5.0)
            self.now += min(wait, end - self.now)

    def fill(self) -> None:
        """Let the bucket fill, which begins with a first call; this one takes nothing."""
        self.ask("nothing", 0)
        self.settle("nothing")
        self.wait(60)
        self.granted.clear()

    def seen(self, worker: str = "worker") -> None:
        self.broker.seen(worker, self.now)
        self.broker.turn(self.now)

    def totals(self, of: RunAccount | None = None) -> Totals:
        return self.broker.totals(of or self.client)

    def _given(self, name: str, answer: Lease | Refusal) -> None:
        if isinstance(answer, Lease):
            self.granted.append(name)
            self.leases[name] = answer
        else:
            self.refused[name] = answer
