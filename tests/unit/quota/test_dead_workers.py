"""What a worker had in flight when it died counts as spent: the server may have answered."""

from __future__ import annotations

import pytest

from raypipe.core.options import QuotaOptions
from raypipe.quota.protocol import CallOutcome
from tests.unit.quota.broker_harness import BrokerHarness, run_account


def create_harness(max_in_flight: int = 2) -> BrokerHarness:
    return BrokerHarness(QuotaOptions(managed=False, max_in_flight=max_in_flight))


def send_heartbeats(harness: BrokerHarness, seconds: int, *workers: str) -> None:
    for _ in range(seconds):
        harness.wait(1)
        for worker in workers:
            harness.heartbeat(worker)


def test_leases_of_a_dead_worker_count_as_spent() -> None:
    harness = create_harness()
    harness.request("a", 100, 50, worker="dies")
    harness.request("b", worker="lives")
    harness.request("c", worker="lives")
    send_heartbeats(harness, 29, "lives")
    assert harness.granted == ["a", "b"]
    send_heartbeats(harness, 2, "lives")
    assert harness.granted == ["a", "b", "c"]
    totals = harness.totals()
    assert (totals.unknown, totals.in_flight, totals.calls) == (1, 2, 0)
    assert totals.usd == pytest.approx((100 + 10 * 50) / 1e6)


def test_the_call_of_a_dead_worker_is_charged_to_the_budget() -> None:
    harness = create_harness()
    harness.account = run_account(max_tokens=200)
    harness.request("a", 100, 50, worker="dies")
    send_heartbeats(harness, 31)
    harness.request("b", 100)
    assert harness.refused["b"].kind == "budget"


def test_a_worker_with_heartbeats_keeps_its_leases() -> None:
    harness = create_harness(max_in_flight=1)
    harness.request("a", worker="slow")
    harness.request("b", worker="other")
    send_heartbeats(harness, 500, "slow", "other")
    assert harness.granted == ["a"]
    harness.settle("a", CallOutcome(1, 1))
    assert harness.granted == ["a", "b"]


def test_the_settlement_of_a_returning_worker_counts() -> None:
    harness = create_harness()
    harness.request("a", 100, 50, worker="sleeps")
    send_heartbeats(harness, 31)
    assert harness.totals().unknown == 1
    assert harness.settle("a", CallOutcome(80, 20))
    totals = harness.totals()
    assert (totals.unknown, totals.calls, totals.in_flight) == (0, 1, 0)
    assert totals.usd == pytest.approx((80 + 10 * 20) / 1e6)


def test_the_settlement_of_a_returning_worker_corrects_the_budget() -> None:
    harness = create_harness()
    harness.account = run_account(max_tokens=200)
    harness.request("a", 100, 50, worker="sleeps")
    send_heartbeats(harness, 31)
    harness.settle("a", CallOutcome(80, 20))
    harness.request("b", 100)
    assert harness.granted == ["a", "b"]


def test_a_lease_is_settled_only_once() -> None:
    harness = create_harness()
    harness.request("a")
    assert harness.settle("a", CallOutcome(1, 1))
    assert not harness.settle("a", CallOutcome(1, 1))
    assert harness.totals().calls == 1


def test_calls_of_a_silent_worker_wait_while_other_calls_pass() -> None:
    harness = create_harness(max_in_flight=1)
    harness.request("a", worker="lives")
    for name in ("b", "c"):
        harness.request(name, worker="silent")
    harness.request("d", worker="lives")
    send_heartbeats(harness, 10, "lives")
    harness.settle("a", CallOutcome(1, 1))
    assert harness.granted == ["a", "d"]
    harness.settle("d", CallOutcome(1, 1))
    assert harness.granted == ["a", "d"]
    harness.heartbeat("silent")
    assert harness.granted == ["a", "d", "b"]


def test_calls_of_a_dead_worker_are_told_to_retry() -> None:
    harness = create_harness(max_in_flight=1)
    harness.request("a", worker="lives")
    harness.request("b", worker="dies")
    send_heartbeats(harness, 31, "lives")
    assert harness.refused["b"].kind == "retry"
