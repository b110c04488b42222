"""A budget is never passed: calls are charged at the worst case before they begin."""

from __future__ import annotations

import random

from raypipe.core.options import BudgetOptions, QuotaOptions
from raypipe.quota.budget import BudgetGuard, Cost
from raypipe.quota.protocol import CallOutcome
from raypipe.quota.sessions import RunAccount
from tests.unit.quota.broker_harness import PRICE, BrokerHarness, run_account


def test_a_call_waits_while_calls_in_flight_may_make_room_and_is_refused_otherwise() -> None:
    harness = BrokerHarness()
    harness.account = run_account(max_tokens=1_000)
    harness.request("a", 400, 200)
    harness.request("b", 400, 200)
    assert (harness.granted, harness.refused) == (["a"], {})
    harness.settle("a", CallOutcome(300, 100))
    assert harness.granted == ["a", "b"]
    harness.request("c", 400, 200)
    harness.settle("b", CallOutcome(400, 200))
    assert harness.refused["c"].kind == "budget"
    assert "1,000 tokens of budget.max_tokens=1000" in harness.refused["c"].reason
    assert harness.totals().input_tokens + harness.totals().output_tokens == 1_000


def test_dollars_spent_before_count() -> None:
    harness = BrokerHarness()
    harness.account = run_account(max_usd=0.01, already_spent=Cost(usd=0.0095))
    harness.request("a", 500)
    assert harness.granted == ["a"], "half a thousandth of a dollar is left"
    harness.settle("a", CallOutcome(500))
    harness.request("b", 1)
    assert "$0.0100 of budget.max_usd=0.01 are spent" in harness.refused["b"].reason


def test_a_smaller_call_may_pass_a_call_that_waits_for_room() -> None:
    harness = BrokerHarness()
    harness.account = run_account(max_tokens=1_000)
    harness.request("a", 600)
    harness.request("large", 600)
    harness.request("small", 300)
    assert (harness.granted, harness.refused) == (["a", "small"], {})


def test_an_unknown_outcome_keeps_its_charge() -> None:
    harness = BrokerHarness()
    harness.account = run_account(max_tokens=1_000)
    harness.request("a", 600)
    harness.settle("a", CallOutcome(unknown=True))
    harness.request("b", 600)
    assert harness.refused["b"].kind == "budget"


def test_a_run_without_budget_does_not_stop_other_runs() -> None:
    harness = BrokerHarness(QuotaOptions(managed=False, max_in_flight=2))
    poor = run_account(max_tokens=100)
    harness.request("a", 60, account=poor)
    harness.request("b", 60, account=poor)
    harness.request("c", 60)
    assert (harness.granted, harness.refused) == (["a", "c"], {})


def test_models_of_one_run_share_its_budget() -> None:
    budget = BudgetGuard(BudgetOptions(max_tokens=1_000), Cost())
    harness = BrokerHarness()
    harness.request("a", 600, account=RunAccount(budget, PRICE))
    harness.request("b", 600, account=RunAccount(budget, PRICE))
    assert harness.granted == ["a"]
    harness.settle("a", CallOutcome(600))
    assert harness.refused["b"].kind == "budget"


def test_the_budget_is_never_exceeded() -> None:
    rnd = random.Random(5)
    harness = BrokerHarness(QuotaOptions(managed=False, max_in_flight=7))
    harness.account = run_account(max_usd=0.5)
    in_flight: list[str] = []
    for number in range(2_000):
        name = str(number)
        max_tokens = rnd.randrange(1_000)
        harness.request(name, rnd.randrange(1, 5_000), max_tokens)
        in_flight = [call for call in [*in_flight, name] if call not in harness.refused]
        for done in [name for name in in_flight if name in harness.leases]:
            if rnd.random() < 0.4:
                in_flight.remove(done)
                kind = rnd.choice(["answered", "refused", "unknown"])
                outcome = {
                    "answered": CallOutcome(rnd.randrange(5_000) if not max_tokens else 1, 0),
                    "refused": CallOutcome(),
                    "unknown": CallOutcome(unknown=True),
                }[kind]
                harness.settle(done, outcome)
        assert harness.totals().usd <= 0.5 + 5_000 / 1e6
    assert len(harness.refused) > 1_000
    assert harness.totals().usd > 0.49
