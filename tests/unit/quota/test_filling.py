"""How much of a quota is used, and how few calls are refused: minutes of a virtual clock against
the model server's own code. The bounds are those that are promised, not what these seeds reach.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from raypipe.core.options import QuotaOptions
from raypipe.simulator.options import ServerQuotaOptions
from tests.unit.quota.world import Load, World

TPM = 1_000_000
MINUTES = 4
SEEDS = pytest.mark.parametrize("seed", range(3))


@dataclass(frozen=True)
class Result:
    used: float  # share of the quota that was settled in time
    throttled: float  # share of calls
    later: float  # the same, after the first minute


def run(world: World, callers: int = 64) -> Result:
    """Four minutes from the first call that was let in."""
    seen = world.run(callers, 60 * MINUTES + 15)
    end = seen.first + 60 * MINUTES
    tokens = world.server.tokens_per_minute
    assert tokens is not None
    return Result(
        seen.settled_by(end) / (tokens * MINUTES),
        seen.throttled_share(until=end),
        seen.throttled_share(seen.first + 60, end),
    )


def world(
    known: int | None = TPM,
    load: Load | None = None,
    seed: int = 0,
    tpm: int = TPM,
    burndown: float = 1.0,
) -> World:
    options = ServerQuotaOptions(tokens_per_minute=tpm, burndown=burndown)
    return World(QuotaOptions(tokens_per_minute=known), options, load or Load(), seed)


@SEEDS
@pytest.mark.parametrize(
    "load", [Load(), Load(latency_s=3.0), Load(latency_s=1.0, retry_after=True)]
)
def test_a_known_quota_is_filled_and_hardly_a_call_refused(seed: int, load: Load) -> None:
    result = run(world(load=load, seed=seed))
    assert result.used >= 0.97
    assert result.throttled < 0.005


@SEEDS
@pytest.mark.parametrize("retry_after", [False, True])
def test_a_quota_that_is_halved_and_comes_back_is_followed(seed: int, retry_after: bool) -> None:
    here = world(load=Load(retry_after=retry_after), seed=seed)
    here.change(100, tokens_per_minute=TPM // 2)
    here.change(200, tokens_per_minute=TPM)
    seen = here.run(64, 300)
    assert seen.settled_by(here.now) >= 0.93 * here.integral()
    assert seen.throttled_share() < 0.02


@SEEDS
def test_an_unknown_quota_is_found(seed: int) -> None:
    result = run(world(known=None, seed=seed))
    assert result.used >= 0.85
    assert result.later < 0.03


@SEEDS
def test_an_output_token_may_cost_five(seed: int) -> None:
    result = run(world(burndown=5.0, seed=seed))
    assert result.used >= 0.97
    assert result.throttled < 0.005


@SEEDS
def test_requests_may_be_what_is_scarce(seed: int) -> None:
    quota = QuotaOptions(tokens_per_minute=TPM, requests_per_minute=60)
    server = ServerQuotaOptions(tokens_per_minute=TPM, requests_per_minute=60)
    here = World(quota, server, Load(), seed)
    seen = here.run(64, 60 * MINUTES + 15)
    end = seen.first + 60 * MINUTES
    assert sum(at <= end for at, _ in seen.settled) >= 0.97 * 60 * MINUTES
    assert seen.throttled_share(until=end) < 0.005


@SEEDS
def test_estimates_may_be_wrong(seed: int) -> None:
    result = run(world(load=Load(estimate=(0.7, 1.1)), seed=seed))
    assert result.used >= 0.96
    assert result.throttled < 0.01


@SEEDS
def test_a_quota_whose_bucket_holds_no_call_is_used(seed: int) -> None:
    # 5 seconds of 30,000 a minute are 2,500 tokens, and a call has 6,000.
    # What a worker's first call is late is lost there, and lost time is a call in twenty.
    load = Load(cold_s=(0.0, 0.5))
    result = run(world(known=30_000, load=load, tpm=30_000, seed=seed), callers=8)
    assert result.used >= 0.85
    assert result.later < 0.06, "one of these twenty calls"


def test_a_configured_quota_above_the_true_one_is_found_out() -> None:
    result = run(world(known=2 * TPM))
    assert result.used >= 0.95
    assert result.later < 0.03


def test_an_unknown_quota_without_end_soon_limits_nothing() -> None:
    here = World(QuotaOptions(max_in_flight=16), ServerQuotaOptions(), Load(), 0)
    seen = here.run(64, 60)
    assert not seen.throttles
    # 16 calls of about 2.2 s each.
    assert sum(at > seen.first + 10 for at, _ in seen.settled) > 0.95 * 50 * 16 / 2.3


def test_a_rate_that_nobody_waited_for_does_not_grow() -> None:
    here = world(known=None)
    here.run(1, 200)  # one call at a time never comes near the quota
    assert here.rate() < 1
