"""Prices by model, profile and service tier."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from raypipe.config.paths import conf_dir
from raypipe.core.errors import SetupError
from raypipe.core.model_ids import base_model_id
from raypipe.core.options import BudgetOptions
from raypipe.quota.budget import BudgetGuard, Cost
from raypipe.quota.prices import TIERS, Price, Prices
from raypipe.quota.protocol import CallOutcome, CallRequest
from raypipe.quota.sessions import RunAccount

MODELS = {
    "m": {"input": 1.0, "output": 10.0, "burndown": 5, "flex": {"input": 0.5, "output": 5.0}},
    "us.m": {"input": 1.1, "output": 11.0},
}
PRICES = Prices("a test", "2026-11-28", MODELS)


@pytest.fixture(scope="module")
def default() -> Prices:
    values = yaml.safe_load((conf_dir() / "prices/default.yaml").read_text())
    return Prices(**{name: value for name, value in values.items() if name != "_target_"})


def test_a_profile_has_its_price_or_that_of_its_model() -> None:
    assert PRICES.require("us.m").usd(1e6, 1e6) == pytest.approx(12.1)
    assert PRICES.require("global.m").usd(1e6, 1e6) == pytest.approx(11.0)
    assert PRICES.find("eu.other") is None


def test_a_tier_has_its_price_or_none() -> None:
    assert PRICES.require("m", "flex").usd(1e6, 1e6) == pytest.approx(5.5)
    assert PRICES.require("m", "flex").burndown == 5
    assert PRICES.find("us.m", "flex") is None, "the profile's tier is not that of its model"
    with pytest.raises(SetupError, match=r"no price of m at service_tier=priority, but budget"):
        PRICES.require("m", "priority")


def test_tokens_cost_what_the_served_tier_costs() -> None:
    price = PRICES.require("m")
    assert price.usd(1e6, 0, "flex") == pytest.approx(0.5)
    assert PRICES.require("m", "flex").usd(1e6, 0, "default") == pytest.approx(1.0)
    assert price.usd(1e6, 0, "priority") == pytest.approx(1.0), "a tier without a price"


def test_a_budget_reserves_and_settles_by_tier() -> None:
    account = RunAccount(
        BudgetGuard(BudgetOptions(max_usd=1.0), Cost()), PRICES.require("m", "flex")
    )
    request = CallRequest(100_000, 100_000)
    assert account.max_cost(request).usd == pytest.approx(0.55)
    assert account.cost(request, CallOutcome(100_000, 100_000)).usd == pytest.approx(0.55)
    served = CallOutcome(100_000, 100_000, tier="default")
    assert account.cost(request, served).usd == pytest.approx(1.1)


@pytest.mark.parametrize(
    "row",
    [
        {"flex": {"input": 1}},
        {"flex": {"input": 1, "output": -1}},
        {"priority": {"input": "1", "output": 1}},
        {"reserved": [1, 2]},
        {"flex": {"input": 1, "output": 1, "burndown": 2}},
        {"tier": "flex"},
        {"cheap": {"input": 1, "output": 1}},
    ],
)
def test_a_row_that_is_no_price_is_refused(row: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"^models: x: "):
        Prices(models={"x": {"input": 1, "output": 1, **row}})


def test_the_shipped_table_has_tiers_and_profiles(default: Prices) -> None:
    nova = default.require("amazon.nova-pro-v1:0")
    assert default.require("amazon.nova-pro-v1:0", "flex").usd(1, 1) == pytest.approx(
        nova.usd(1, 1) / 2
    )
    assert default.require("amazon.nova-pro-v1:0", "priority").usd(1, 1) == pytest.approx(
        nova.usd(1, 1) * 1.75
    )
    haiku = "anthropic.claude-haiku-4-5-20251001-v1:0"
    assert default.require(f"us.{haiku}").usd(1, 1) == pytest.approx(
        1.1 * default.require(f"global.{haiku}").usd(1, 1)
    )
    assert default.require(f"us.{haiku}").burndown == default.require(haiku).burndown == 5


def test_every_profile_of_the_shipped_table_has_a_model(default: Prices) -> None:
    for model in default.models:
        assert base_model_id(model) in default.models
        for tier in TIERS:
            price = default.find(model, tier)
            assert price is None or isinstance(price, Price)
