"""The quota's actor on a real Ray: found by name, shared, waited for, and told of deaths."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import ray

from raypipe.core.errors import BookLeftError
from raypipe.core.options import BudgetOptions, QuotaOptions
from raypipe.quota import batch_client as messenger
from raypipe.quota.actor import RemoteQuotaClient, RunRegistration, broker_for
from raypipe.quota.prices import Price
from raypipe.quota.protocol import NAMESPACE, CallOutcome, CallRequest
from tests.integration.running import ray_here, wait_for

__all__ = ["ray_here"]

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("ray_here")]

DEAD_S = 4.0
NEED = CallRequest(100, 50)


class Worker:
    """A process that makes calls; each takes as long as it is told."""

    def __init__(self, permits: RemoteQuotaClient) -> None:
        self.permits = permits

    def work(self, calls: int, at_once: int, seconds: float) -> list[tuple[float, float]]:
        """Make calls; returns when each began and ended."""

        def one(_: int) -> tuple[float, float]:
            lease = self.permits.acquire(NEED)
            began = time.time()
            time.sleep(seconds)
            ended = time.time()
            self.permits.settle(lease, CallOutcome(100, 20, seconds=seconds))
            return began, ended

        with ThreadPoolExecutor(at_once) as pool:
            return list(pool.map(one, range(calls)))

    def keep(self, leases: int) -> int:
        """Take leases and do not give them back."""
        return len([self.permits.acquire(NEED) for _ in range(leases)])

    def left(self) -> str:
        """Ask for what there is not, and tell how it ended."""
        try:
            self.permits.acquire(NEED)
        except BookLeftError as error:
            return f"{error.reason}, {error.stops}"
        return "a lease"


def worker(permits: RemoteQuotaClient) -> Any:
    remote: Any = ray.remote  # its overloads know no plain class with options
    return remote(num_cpus=0.1, max_concurrency=4)(Worker).remote(permits)


def permits(
    pool: str,
    run: str = "run",
    max_in_flight: int = 3,
    budget: BudgetOptions | None = None,
) -> RemoteQuotaClient:
    options = QuotaOptions(managed=False, max_in_flight=max_in_flight)
    joining = RunRegistration(run, Price(1.0, 10.0), budget or BudgetOptions())
    return broker_for(pool, options, joining, DEAD_S)


def handle(pool: str) -> Any:
    return ray.get_actor(f"raypipe-quota:{pool}", namespace=NAMESPACE)


def at_most_at_once(spans: list[tuple[float, float]]) -> int:
    marks = sorted([(began, 1) for began, _ in spans] + [(ended, -1) for _, ended in spans])
    found = now = 0
    for _, step in marks:
        now += step
        found = max(found, now)
    return found


def test_two_workers_share_the_calls_in_flight_and_a_dead_one_gives_back_its_leases() -> None:
    mine = permits("shared")
    first, second = worker(mine), worker(mine)
    spans = ray.get([one.work.remote(20, 8, 0.05) for one in (first, second)])
    assert at_most_at_once([*spans[0], *spans[1]]) == 3
    wait_for(lambda: mine.totals().calls == 40, 10)
    assert (mine.totals().input_tokens, mine.totals().output_tokens) == (4_000, 800)

    # All that may be in flight is the first one's, which dies; the second waits and lives.
    assert ray.get(first.keep.remote(3)) == 3
    waiting = second.work.remote(2, 2, 0.0)
    ray.kill(first)
    began = time.monotonic()
    assert len(ray.get(waiting, timeout=60)) == 2
    assert time.monotonic() - began > DEAD_S / 2, "not before the dead one was missed"
    wait_for(lambda: mine.totals().calls == 42, 10)
    totals = mine.totals()
    assert (totals.unknown, totals.in_flight) == (3, 0)
    assert totals.usd == pytest.approx((42 * (100 + 10 * 20) + 3 * (100 + 10 * 50)) / 1e6)


def test_another_run_finds_the_pool_by_its_name_and_has_its_own_numbers() -> None:
    mine = permits("named", "mine", max_in_flight=1)
    found = handle("named")
    lease = mine.acquire(NEED)
    other = permits("named", "other", budget=BudgetOptions(max_tokens=150), max_in_flight=1)
    assert handle("named")._actor_id == found._actor_id
    there = worker(other)
    waiting = there.work.remote(1, 1, 0.0)
    assert ray.wait([waiting], timeout=1.5)[0] == [], "the one call in flight is the other run's"
    mine.settle(lease, CallOutcome(100, 50))
    ray.get(waiting, timeout=30)
    wait_for(lambda: other.totals().calls == 1, 10)
    assert ray.get(worker(other).left.remote(), timeout=30).startswith("the budget is used up")
    assert mine.totals().calls == 1
    mine.settle(mine.acquire(NEED), CallOutcome())


def test_two_copies_in_one_process_are_two_to_the_actor() -> None:
    mine = permits("copies", max_in_flight=2)
    copies = [mine, copy.copy(mine)]  # as it comes out of a pickle
    with ThreadPoolExecutor(2) as pool:
        leases = list(pool.map(lambda one: one.acquire(NEED), copies, timeout=20))
    assert len(set(leases)) == 2
    for one, lease in zip(copies, leases, strict=True):
        one.settle(lease, CallOutcome(100, 20))
    wait_for(lambda: mine.totals().calls == 2, 10)


def test_a_stop_reaches_those_who_wait() -> None:
    mine = permits("stopped", max_in_flight=1)
    lease = mine.acquire(NEED)
    waiting = worker(mine).left.remote()
    assert ray.wait([waiting], timeout=1.5)[0] == []
    mine.stop("asked to stop")
    assert ray.get(waiting, timeout=30) == "asked to stop, False"
    mine.settle(lease, CallOutcome(1, 1))


def test_an_actor_that_died_is_made_again_and_told_what_was_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(messenger, "PING_S", 0.3)
    mine = permits("mortal", max_in_flight=2)
    there = worker(mine)
    ray.get(there.work.remote(5, 2, 0.0))
    wait_for(lambda: mine.totals().calls == 5, 10)
    lease = mine.acquire(NEED)
    ray.kill(handle("mortal"))
    ray.get(there.work.remote(5, 2, 0.0), timeout=60)
    mine.settle(lease, CallOutcome(100, 20))  # of before
    mine.count_cached_calls(7)
    seen = _until(lambda: (mine.totals().calls, mine.totals().cached_calls), (11, 7))
    assert seen == (11, 7)
    assert mine.totals().in_flight == 0


def _until(ask: Callable[[], Any], wanted: Any) -> Any:
    end = time.monotonic() + 10
    while (found := ask()) != wanted and time.monotonic() < end:
        time.sleep(0.2)
    return found
