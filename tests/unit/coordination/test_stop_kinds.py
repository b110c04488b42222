"""Kinds of stop reasons, from the places that make the reasons."""

from __future__ import annotations

import pytest

from raypipe.coordination.breaker import Breaker
from raypipe.coordination.stop_kinds import stop_kind
from raypipe.core.options import BreakerOptions, BudgetOptions
from raypipe.quota.budget import BudgetGuard, Cost
from raypipe.quota.protocol import Totals
from raypipe.run.costs import CostTracker

USD, TOKENS = BudgetOptions(max_usd=1.0), BudgetOptions(max_tokens=100)


@pytest.mark.parametrize(
    "reason",
    [
        Breaker(BreakerOptions(first=2)).record(["empty", "empty"]),
        Breaker(BreakerOptions(first=0, window=2)).record(["empty", "binary"]),
    ],
)
def test_the_breaker_is_recognized(reason: str) -> None:
    assert stop_kind(reason) == "breaker"


@pytest.mark.parametrize(
    "reason",
    [
        CostTracker(budget=USD).budget_stop_reason(Totals(usd=1.5)),
        CostTracker(budget=TOKENS).budget_stop_reason(Totals(input_tokens=101)),
        BudgetGuard(USD, Cost(0.5)).explain_refusal(Cost(0.6)),
        BudgetGuard(TOKENS, Cost(0.0, 50)).explain_refusal(Cost(0.0, 60)),
    ],
)
def test_the_budget_is_recognized(reason: str) -> None:
    assert stop_kind(reason) == "budget"


@pytest.mark.parametrize("reason", ["asked to stop by SIGTERM", "the index is deleted"])
def test_other_reasons_are_a_stop(reason: str) -> None:
    assert stop_kind(reason) == "stop"


def test_no_reason_has_no_kind() -> None:
    assert stop_kind("") == ""
