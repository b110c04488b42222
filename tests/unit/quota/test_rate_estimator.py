"""What the rate estimator concludes from refusals: the limit, and when to try more."""

from __future__ import annotations

from math import inf

import pytest

from raypipe.core.options import QuotaOptions
from raypipe.quota.limits import Limits
from raypipe.quota.protocol import CallOutcome, CallRequest
from raypipe.quota.rate_estimator import (
    INITIAL_SHARE,
    MAX_PLATEAU_S,
    MEMORY_S,
    MIN_SHARE,
    PLATEAU_CALLS,
    RateEstimator,
)

CEILING = 1_000.0
TOKENS = 100.0


def create_estimator() -> RateEstimator:
    return RateEstimator(CEILING, 0.0)


def rate_after(
    estimator: RateEstimator, seconds: float, at: float, calls: int = PLATEAU_CALLS
) -> float:
    """Let time pass in which calls wait for tokens; return the rate."""
    for _ in range(calls):
        estimator.count_call()
    for step in range(int(seconds * 10) + 1):
        estimator.advance(at + step / 10, is_limiting=True)
    return estimator.per_s


def test_a_refusal_after_a_long_time_keeps_the_rate() -> None:
    estimator = create_estimator()
    estimator.learn_refusal(10, granted_at=10, accepted=9_000, tokens=TOKENS)
    assert estimator.per_s == CEILING
    estimator.learn_refusal(
        10 + MEMORY_S + 1, granted_at=11 + MEMORY_S, accepted=9_100, tokens=TOKENS
    )
    assert estimator.per_s == CEILING


def test_refusals_consistent_with_the_rate_keep_it() -> None:
    estimator = create_estimator()
    estimator.learn_refusal(10, granted_at=10, accepted=0, tokens=TOKENS)
    estimator.learn_refusal(20, granted_at=20, accepted=10 * CEILING - TOKENS, tokens=TOKENS)
    assert estimator.per_s == CEILING


def test_the_tokens_accepted_between_two_refusals_give_the_rate() -> None:
    estimator = create_estimator()
    estimator.learn_refusal(10, granted_at=10, accepted=0, tokens=TOKENS)
    estimator.learn_refusal(30, granted_at=30, accepted=20 * 600, tokens=TOKENS)
    assert estimator.per_s == pytest.approx(600 * INITIAL_SHARE, rel=0.01)


def test_refusals_of_calls_in_flight_count_once() -> None:
    estimator = create_estimator()
    estimator.learn_refusal(10, granted_at=10, accepted=0, tokens=TOKENS)
    assert estimator.learn_refusal(20, granted_at=19, accepted=10 * 700, tokens=TOKENS)
    rate = estimator.per_s
    for late in range(5):
        assert not estimator.learn_refusal(
            20.1 + late / 10, granted_at=19.5, accepted=10 * 700, tokens=TOKENS
        )
    assert estimator.per_s == rate


def test_refusals_in_quick_succession_halve_the_rate_at_most() -> None:
    estimator = create_estimator()
    for at in (10.0, 11.0):
        estimator.learn_refusal(at, granted_at=at, accepted=0, tokens=TOKENS)
    assert estimator.per_s == pytest.approx(CEILING * MIN_SHARE * INITIAL_SHARE)


def test_a_debt_of_the_servers_bucket_explains_a_refusal() -> None:
    estimator = create_estimator()
    estimator.learn_refusal(10, granted_at=10, accepted=0, tokens=TOKENS)
    estimator.learn_refusal(11, granted_at=11, accepted=500, tokens=TOKENS, debt=500)
    assert estimator.per_s == CEILING


def test_after_a_plateau_the_rate_grows_up_to_the_ceiling() -> None:
    estimator = create_estimator()
    estimator.learn_refusal(10, granted_at=10, accepted=0, tokens=TOKENS)
    estimator.learn_refusal(30, granted_at=30, accepted=20 * 500, tokens=TOKENS)
    estimator.advance(30, is_limiting=True)
    rate = estimator.per_s
    assert rate_after(estimator, MAX_PLATEAU_S - 0.5, 30) == rate
    assert rate * 1.3 > rate_after(estimator, 3, 45) > rate
    assert rate_after(estimator, 6, 48) == CEILING
    assert not estimator.is_growing


def test_the_plateau_of_a_small_quota_lasts_a_minimum_number_of_calls() -> None:
    estimator = create_estimator()
    estimator.learn_refusal(10, granted_at=10, accepted=0, tokens=TOKENS)
    estimator.learn_refusal(30, granted_at=30, accepted=20 * 500, tokens=TOKENS)
    estimator.advance(30, is_limiting=True)
    rate = estimator.per_s
    assert rate_after(estimator, 4 * MAX_PLATEAU_S, 30, PLATEAU_CALLS - 1) == rate
    assert rate_after(estimator, 3, 90, 1) > rate


def test_an_unknown_rate_doubles_while_calls_wait_for_it() -> None:
    estimator = RateEstimator(inf, 0.0)
    estimator.start(4_000)
    assert estimator.per_s == 4_000
    estimator.advance(0, is_limiting=False)
    estimator.advance(10, is_limiting=True)
    assert estimator.per_s == 4_000
    estimator.advance(12, is_limiting=True)
    assert estimator.per_s == 8_000


def test_if_the_servers_bucket_was_full_the_rate_is_the_upper_bound() -> None:
    estimator = create_estimator()
    estimator.learn_refusal(10, granted_at=10, accepted=0, tokens=TOKENS)
    estimator.learn_refusal(20, granted_at=20, accepted=5_000, tokens=TOKENS, server_was_full=True)
    assert estimator.per_s == pytest.approx((5_000 + TOKENS) / 10 * INITIAL_SHARE)


def test_burndown_that_the_server_has_not_charged_explains_a_refusal() -> None:
    limits = Limits(QuotaOptions(tokens_per_minute=60_000), 5.0, 0.0)
    request = CallRequest(0, 100)  # reserves 500 here and 100 there

    def refuse(granted: float, now: float) -> None:
        limits.charge(request, 500, granted)
        limits.end(request, 500)
        limits.settle(request, 500, granted, CallOutcome(throttled=True), now)

    refuse(0.0, 0.0)
    for now in (1.0, 1.5):
        limits.charge(request, 500, now)
    refuse(1.9, 2.0)
    assert limits.tokens_per_minute == 60_000
    refuse(3.9, 4.0)
    assert limits.tokens_per_minute < 60_000
