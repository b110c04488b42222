"""The quota's actor on a real Ray: found by name, shared, and replaced after its death."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import ray

from raypipe.coordination.coordinator_handle import RemoteCoordinator
from raypipe.coordination.limiter import AdaptiveLimiter
from raypipe.core.errors import BookLeftError
from raypipe.core.options import BreakerOptions, BudgetOptions, QuotaOptions
from raypipe.quota import batch_client
from raypipe.quota.actor import RemoteQuotaClient, RunRegistration, broker_for
from raypipe.quota.prices import Price
from raypipe.quota.protocol import NAMESPACE, CallOutcome, CallRequest
from raypipe.quota.service_client import QuotaServiceClient
from raypipe.run.executors.run_services import MAX_CONCURRENCY, RunServices, connect_quota_of
from tests.integration.raypipe_command import wait_for

pytestmark = pytest.mark.usefixtures("shared_ray")

DEAD_AFTER_S = 4.0
REQUEST = CallRequest(100, 50)


class Worker:
    """A process that makes calls of a given duration."""

    def __init__(self, client: QuotaServiceClient) -> None:
        self.client = client

    def work(self, calls: int, at_once: int, seconds: float) -> list[tuple[float, float]]:
        """Make calls; return when each began and ended."""

        def call(_: int) -> tuple[float, float]:
            lease = self.client.acquire(REQUEST)
            began = time.time()
            time.sleep(seconds)
            ended = time.time()
            self.client.settle(lease, CallOutcome(100, 20, seconds=seconds))
            return began, ended

        with ThreadPoolExecutor(at_once) as pool:
            return list(pool.map(call, range(calls)))

    def acquire(self, leases: int) -> int:
        """Acquire leases without settling them."""
        return len([self.client.acquire(REQUEST) for _ in range(leases)])

    def wait_for_refusal(self) -> str:
        """Wait for a lease that is never granted; return the reason of the refusal."""
        try:
            self.client.acquire(REQUEST)
        except BookLeftError as error:
            return f"{error.reason}, {error.stops}"
        return "a lease"


def start_worker(client: QuotaServiceClient) -> Any:
    remote: Any = ray.remote  # its overloads do not accept a plain class with options
    return remote(num_cpus=0.1, max_concurrency=4)(Worker).remote(client)


def create_client(
    pool: str,
    run_id: str = "run",
    max_in_flight: int = 3,
    budget: BudgetOptions | None = None,
) -> RemoteQuotaClient:
    options = QuotaOptions(managed=False, max_in_flight=max_in_flight)
    registration = RunRegistration(run_id, Price(1.0, 10.0), budget or BudgetOptions())
    return broker_for(pool, options, registration, DEAD_AFTER_S)


def get_actor(pool: str) -> Any:
    return ray.get_actor(f"raypipe-quota:{pool}", namespace=NAMESPACE)


def max_in_flight(spans: list[tuple[float, float]]) -> int:
    events = sorted([(began, 1) for began, _ in spans] + [(ended, -1) for _, ended in spans])
    highest = current = 0
    for _, step in events:
        current += step
        highest = max(highest, current)
    return highest


def test_the_actor_of_a_run_keeps_its_quota_and_coordinates_it() -> None:
    remote: Any = ray.remote
    actor = remote(num_cpus=0, max_concurrency=MAX_CONCURRENCY)(RunServices).remote(
        BreakerOptions(), AdaptiveLimiter(1), 10
    )
    coordinator = RemoteCoordinator(actor)
    options = QuotaOptions(managed=False, max_in_flight=3)
    connect = connect_quota_of(actor)
    mine = connect("own", options, RunRegistration("run", Price(1.0, 10.0), BudgetOptions()))
    worker = start_worker(mine)
    work = worker.work.remote(12, 8, 0.05)
    assert coordinator.start("summarize", ["a", "b"]).worker_deaths == (0, 0)
    assert coordinator.arrive(4, []), "more books may come"
    assert max_in_flight(ray.get(work)) == 3
    wait_for(lambda: mine.totals().calls == 12, 10)
    mine.stop("Ctrl-C")
    with pytest.raises(BookLeftError, match="Ctrl-C"):
        mine.acquire(REQUEST)
    ray.kill(actor)


def test_two_workers_share_the_calls_in_flight_and_leases_of_a_dead_worker_return() -> None:
    mine = create_client("shared")
    first, second = start_worker(mine), start_worker(mine)
    spans = ray.get([worker.work.remote(20, 8, 0.05) for worker in (first, second)])
    assert max_in_flight([*spans[0], *spans[1]]) == 3
    wait_for(lambda: mine.totals().calls == 40, 10)
    assert (mine.totals().input_tokens, mine.totals().output_tokens) == (4_000, 800)

    # The first worker holds all leases and dies; the second worker waits and lives.
    assert ray.get(first.acquire.remote(3)) == 3
    waiting = second.work.remote(2, 2, 0.0)
    ray.kill(first)
    began = time.monotonic()
    assert len(ray.get(waiting, timeout=60)) == 2
    assert time.monotonic() - began > DEAD_AFTER_S / 2, "not before the first worker counts as dead"
    wait_for(lambda: mine.totals().calls == 42, 10)
    totals = mine.totals()
    assert (totals.unknown, totals.in_flight) == (3, 0)
    assert totals.usd == pytest.approx((42 * (100 + 10 * 20) + 3 * (100 + 10 * 50)) / 1e6)


def test_another_run_finds_the_pool_by_name_and_has_its_own_totals() -> None:
    mine = create_client("named", "mine", max_in_flight=1)
    actor = get_actor("named")
    lease = mine.acquire(REQUEST)
    other = create_client("named", "other", budget=BudgetOptions(max_tokens=150), max_in_flight=1)
    assert get_actor("named")._actor_id == actor._actor_id
    there = start_worker(other)
    waiting = there.work.remote(1, 1, 0.0)
    assert ray.wait([waiting], timeout=1.5)[0] == [], (
        "the only call in flight belongs to the other run"
    )
    mine.settle(lease, CallOutcome(100, 50))
    ray.get(waiting, timeout=30)
    wait_for(lambda: other.totals().calls == 1, 10)
    assert ray.get(start_worker(other).wait_for_refusal.remote(), timeout=30).startswith(
        "the budget is used up"
    )
    assert mine.totals().calls == 1
    mine.settle(mine.acquire(REQUEST), CallOutcome())


def test_two_copies_in_one_process_are_two_clients_of_the_actor() -> None:
    mine = create_client("copies", max_in_flight=2)
    copies = [mine, copy.copy(mine)]  # as unpickled
    with ThreadPoolExecutor(2) as pool:
        leases = list(pool.map(lambda client: client.acquire(REQUEST), copies, timeout=20))
    assert len(set(leases)) == 2
    for client, lease in zip(copies, leases, strict=True):
        client.settle(lease, CallOutcome(100, 20))
    wait_for(lambda: mine.totals().calls == 2, 10)


def test_a_stop_reaches_waiting_calls() -> None:
    mine = create_client("stopped", max_in_flight=1)
    lease = mine.acquire(REQUEST)
    waiting = start_worker(mine).wait_for_refusal.remote()
    assert ray.wait([waiting], timeout=1.5)[0] == []
    mine.stop("asked to stop")
    assert ray.get(waiting, timeout=30) == "asked to stop, False"
    mine.settle(lease, CallOutcome(1, 1))


def test_a_dead_actor_is_replaced_and_gets_the_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batch_client, "HEARTBEAT_S", 0.3)
    mine = create_client("mortal", max_in_flight=2)
    there = start_worker(mine)
    ray.get(there.work.remote(5, 2, 0.0))
    wait_for(lambda: mine.totals().calls == 5, 10)
    lease = mine.acquire(REQUEST)
    ray.kill(get_actor("mortal"))
    ray.get(there.work.remote(5, 2, 0.0), timeout=60)
    mine.settle(lease, CallOutcome(100, 20))  # from before the death
    mine.count_cached_calls(7)
    totals = _poll(lambda: (mine.totals().calls, mine.totals().cached_calls), (11, 7))
    assert totals == (11, 7)
    assert mine.totals().in_flight == 0


def _poll(get: Callable[[], Any], wanted: Any) -> Any:
    end = time.monotonic() + 10
    while (value := get()) != wanted and time.monotonic() < end:
        time.sleep(0.2)
    return value
