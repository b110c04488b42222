"""A budget is never passed: calls are charged at the worst case before they begin."""

from __future__ import annotations

import random

from raypipe.core.options import BudgetOptions, QuotaOptions
from raypipe.quota.budget import BudgetGuard, Cost
from raypipe.quota.protocol import CallOutcome
from raypipe.quota.sessions import RunAccount
from tests.unit.quota.desk import PRICE, Desk, client


def test_a_call_waits_while_others_may_give_back_and_is_refused_when_none_can() -> None:
    desk = Desk()
    desk.client = client(max_tokens=1_000)
    desk.ask("a", 400, 200)
    desk.ask("b", 400, 200)
    assert (desk.granted, desk.refused) == (["a"], {})
    desk.settle("a", CallOutcome(300, 100))
    assert desk.granted == ["a", "b"]
    desk.ask("c", 400, 200)
    desk.settle("b", CallOutcome(400, 200))
    assert desk.refused["c"].kind == "budget"
    assert "1,000 tokens of budget.max_tokens=1000" in desk.refused["c"].reason
    assert desk.totals().input_tokens + desk.totals().output_tokens == 1_000


def test_dollars_count_what_was_spent_before() -> None:
    desk = Desk()
    desk.client = client(max_usd=0.01, already=Cost(usd=0.0095))
    desk.ask("a", 500)
    assert desk.granted == ["a"], "half a thousandth of a dollar is left"
    desk.settle("a", CallOutcome(500))
    desk.ask("b", 1)
    assert "$0.0100 of budget.max_usd=0.01 are spent" in desk.refused["b"].reason


def test_a_smaller_call_may_pass_one_that_waits_for_room() -> None:
    desk = Desk()
    desk.client = client(max_tokens=1_000)
    desk.ask("a", 600)
    desk.ask("large", 600)
    desk.ask("small", 300)
    assert (desk.granted, desk.refused) == (["a", "small"], {})


def test_an_unknown_fate_keeps_its_charge() -> None:
    desk = Desk()
    desk.client = client(max_tokens=1_000)
    desk.ask("a", 600)
    desk.settle("a", CallOutcome(unknown=True))
    desk.ask("b", 600)
    assert desk.refused["b"].kind == "budget"


def test_one_run_without_money_stops_no_other() -> None:
    desk = Desk(QuotaOptions(managed=False, max_in_flight=2))
    poor = client(max_tokens=100)
    desk.ask("a", 60, of=poor)
    desk.ask("b", 60, of=poor)
    desk.ask("c", 60)
    assert (desk.granted, desk.refused) == (["a", "c"], {})


def test_models_of_one_run_share_its_budget() -> None:
    purse = BudgetGuard(BudgetOptions(max_tokens=1_000), Cost())
    desk = Desk()
    desk.ask("a", 600, of=RunAccount(purse, PRICE))
    desk.ask("b", 600, of=RunAccount(purse, PRICE))
    assert desk.granted == ["a"]
    desk.settle("a", CallOutcome(600))
    assert desk.refused["b"].kind == "budget"


def test_whatever_comes_the_budget_is_not_passed() -> None:
    rnd = random.Random(5)
    desk = Desk(QuotaOptions(managed=False, max_in_flight=7))
    desk.client = client(max_usd=0.5)
    open_: list[str] = []
    for number in range(2_000):
        name = str(number)
        most = rnd.randrange(1_000)
        desk.ask(name, rnd.randrange(1, 5_000), most)
        open_ = [one for one in [*open_, name] if one not in desk.refused]
        for one in [one for one in open_ if one in desk.leases]:
            if rnd.random() < 0.4:
                open_.remove(one)
                fate = rnd.choice(["answered", "refused", "unknown"])
                spent = {
                    "answered": CallOutcome(rnd.randrange(5_000) if not most else 1, 0),
                    "refused": CallOutcome(),
                    "unknown": CallOutcome(unknown=True),
                }[fate]
                desk.settle(one, spent)
        assert desk.totals().usd <= 0.5 + 5_000 / 1e6
    assert len(desk.refused) > 1_000
    assert desk.totals().usd > 0.49
