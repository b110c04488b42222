"""What a worker had in flight when it died counts as spent: the server may have answered."""

from __future__ import annotations

import pytest

from raypipe.core.options import QuotaOptions
from raypipe.quota.protocol import CallOutcome
from tests.unit.quota.desk import Desk, client


def desk(max_in_flight: int = 2) -> Desk:
    return Desk(QuotaOptions(managed=False, max_in_flight=max_in_flight))


def live(at: Desk, seconds: int, *workers: str) -> None:
    for _ in range(seconds):
        at.wait(1)
        for worker in workers:
            at.seen(worker)


def test_leases_of_a_dead_worker_expire_as_spent() -> None:
    at = desk()
    at.ask("a", 100, 50, worker="dies")
    at.ask("b", worker="lives")
    at.ask("c", worker="lives")
    live(at, 29, "lives")
    assert at.granted == ["a", "b"]
    live(at, 2, "lives")
    assert at.granted == ["a", "b", "c"]
    totals = at.totals()
    assert (totals.unknown, totals.in_flight, totals.calls) == (1, 2, 0)
    assert totals.usd == pytest.approx((100 + 10 * 50) / 1e6)


def test_a_worker_that_gives_signs_of_life_keeps_its_leases() -> None:
    at = desk(max_in_flight=1)
    at.ask("a", worker="slow")
    at.ask("b", worker="other")
    live(at, 500, "slow", "other")
    assert at.granted == ["a"]
    at.settle("a", CallOutcome(1, 1))
    assert at.granted == ["a", "b"]


def test_a_worker_that_comes_back_is_believed() -> None:
    at = desk()
    at.ask("a", 100, 50, worker="sleeps")
    live(at, 31)
    assert at.totals().unknown == 1
    assert at.settle("a", CallOutcome(80, 20))
    totals = at.totals()
    assert (totals.unknown, totals.calls, totals.in_flight) == (0, 1, 0)
    assert totals.usd == pytest.approx((80 + 10 * 20) / 1e6)


def test_a_worker_that_comes_back_gives_back_of_the_budget_too() -> None:
    at = desk()
    at.client = client(max_tokens=200)
    at.ask("a", 100, 50, worker="sleeps")
    live(at, 31)
    at.settle("a", CallOutcome(80, 20))
    at.ask("b", 100)
    assert at.granted == ["a", "b"]


def test_a_lease_is_settled_once() -> None:
    at = desk()
    at.ask("a")
    assert at.settle("a", CallOutcome(1, 1))
    assert not at.settle("a", CallOutcome(1, 1))
    assert at.totals().calls == 1


def test_calls_of_a_worker_that_may_be_dying_wait_and_let_others_pass() -> None:
    at = desk(max_in_flight=1)
    at.ask("a", worker="lives")
    for name in ("b", "c"):
        at.ask(name, worker="silent")
    at.ask("d", worker="lives")
    live(at, 10, "lives")
    at.settle("a", CallOutcome(1, 1))
    assert at.granted == ["a", "d"]
    at.settle("d", CallOutcome(1, 1))
    assert at.granted == ["a", "d"]
    at.seen("silent")
    assert at.granted == ["a", "d", "b"]


def test_calls_of_a_dead_worker_are_asked_to_come_again() -> None:
    at = desk(max_in_flight=1)
    at.ask("a", worker="lives")
    at.ask("b", worker="dies")
    live(at, 31, "lives")
    assert at.refused["b"].kind == "again"
