"""The client of one process: a batch that may be lost counts once, and so does each lease."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from raypipe.core import retry
from raypipe.core.options import BudgetOptions
from raypipe.quota import batch_client
from raypipe.quota.batch_client import QuotaBatchClient
from raypipe.quota.messages import Batch, Reply, RunRegistration, Settlement
from raypipe.quota.protocol import CallOutcome, CallRequest, Lease
from raypipe.quota.service_handle import ServiceDiedError
from raypipe.quota.sessions import CallTally
from tests.unit.quota.broker_harness import PRICE

REQUEST = CallRequest(100, 50)


class FakeService:
    """Answers like the quota service; grants each request a lease.

    Args:
        epoch: Number before the first lease.
        max_in_flight: Number of leases at the same time.
    """

    def __init__(self, epoch: int, max_in_flight: int = 10) -> None:
        self.epoch, self.max_in_flight = epoch, max_in_flight
        self.batches: list[Batch] = []
        self.tallies: list[CallTally] = []
        self.errors: deque[Exception] = deque()
        self.extra_answers: dict[int, Lease] = {}
        self._waiting: list[int] = []
        self._last_lease, self._in_flight = epoch, 0

    @property
    def settlements(self) -> list[Settlement]:
        return [settlement for batch in self.batches for settlement in batch.settlements]

    def call(self, method: str, *args: Any) -> Any:
        methods: dict[str, Callable[..., Any]] = {
            "register": self._register,
            "exchange": self._exchange,
        }
        return methods[method](*args)

    def _register(self, registration: RunRegistration, tally: CallTally, epoch: int) -> int:
        self.tallies.append(tally)
        return self.epoch

    def _exchange(self, run_id: str, worker: str, batch: Batch) -> Reply:
        self.batches.append(batch)
        if self.errors:
            raise self.errors.popleft()
        self._waiting += batch.requests
        self._in_flight -= len(batch.settlements)
        answers, self.extra_answers = self.extra_answers, {}
        while self._waiting and self._in_flight < self.max_in_flight:
            self._last_lease += 1
            self._in_flight += 1
            answers[self._waiting.pop(0)] = Lease(self._last_lease)
        return Reply(answers, pause_s=0.001, may_reuse_leases=True)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_client, "_IDLE_S", 0.01)
    monkeypatch.setattr(retry, "full_jitter", lambda attempt, **_: 0.0)


def client_of(*services: FakeService) -> QuotaBatchClient:
    registration = RunRegistration("run", PRICE, BudgetOptions())
    following: Iterator[FakeService] = iter(services)
    return QuotaBatchClient(registration, lambda: next(following))


def wait_until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end, "the condition was not met in time"
        time.sleep(0.002)


def acquire(client: QuotaBatchClient) -> Lease:
    lease = client.acquire(REQUEST)
    assert isinstance(lease, Lease)
    return lease


def settled_numbers(service: FakeService) -> list[int]:
    return [settlement.number for settlement in service.settlements]


def test_a_batch_whose_reply_was_lost_is_sent_again() -> None:
    service = FakeService(100)
    client = client_of(service)
    client.service()  # registers the process
    service.errors.append(ConnectionError("the reply was lost"))
    client.count_cached_calls(3)
    wait_until(lambda: len(service.batches) == 2)
    assert service.batches[0] == service.batches[1]
    assert service.batches[0].cached_calls == 3


def test_a_new_actor_gets_the_counts_instead_of_the_settlements() -> None:
    first, second = FakeService(100), FakeService(200)
    client = client_of(first, second)
    lease = acquire(client)
    first.errors.append(ServiceDiedError())
    client.settle(lease, CallOutcome(80, 20))
    wait_until(lambda: second.batches)
    assert [tally.counts["calls"] for tally in second.tallies] == [1]
    assert second.settlements == [], "the call would count twice"


def test_a_throttled_lease_is_not_reused() -> None:
    service = FakeService(100, max_in_flight=1)
    client = client_of(service)
    lease = acquire(client)
    threading.Thread(
        target=lambda: client.settle(acquire(client), CallOutcome()), daemon=True
    ).start()
    wait_until(lambda: sum(len(batch.requests) for batch in service.batches) == 2)
    client.settle(lease, CallOutcome(throttled=True))
    wait_until(lambda: len(service.settlements) >= 2)
    assert [settlement.reused_by for settlement in service.settlements] == [None, None]
    assert settled_numbers(service) == [101, 102]


def test_a_lease_for_a_call_that_no_longer_waits_is_given_back() -> None:
    service = FakeService(100)
    service.extra_answers = {99: Lease(150)}
    client = client_of(service)
    client.settle(acquire(client), CallOutcome(1, 1))
    wait_until(lambda: 101 in settled_numbers(service))
    # The lease without a call came with the other lease, so it is settled first.
    assert settled_numbers(service) == [150, 101]
