"""What is concluded from refusals: where the limit is, and when to look for more."""

from __future__ import annotations

from math import inf

import pytest

from raypipe.core.options import QuotaOptions
from raypipe.quota.limits import Limits
from raypipe.quota.protocol import CallOutcome, CallRequest
from raypipe.quota.rate_estimator import (
    BELOW,
    LEAST_SHARE,
    MEMORY_S,
    PLATEAU_CALLS,
    PLATEAU_S,
    RateEstimator,
)

CEILING = 1_000.0
NEED = 100.0


def rate() -> RateEstimator:
    return RateEstimator(CEILING, 0.0)


def after(one: RateEstimator, seconds: float, at: float, calls: int = PLATEAU_CALLS) -> float:
    """Let time pass in which calls wait for tokens; returns the rate."""
    for _ in range(calls):
        one.granted()
    for step in range(int(seconds * 10) + 1):
        one.tick(at + step / 10, limited=True)
    return one.per_s


def test_a_refusal_after_a_long_peace_changes_no_rate() -> None:
    one = rate()
    one.refused(10, granted=10, net=9_000, need=NEED)
    assert one.per_s == CEILING
    one.refused(10 + MEMORY_S + 1, granted=11 + MEMORY_S, net=9_100, need=NEED)
    assert one.per_s == CEILING


def test_refusals_that_the_rate_explains_change_nothing() -> None:
    one = rate()
    one.refused(10, granted=10, net=0, need=NEED)
    one.refused(20, granted=20, net=10 * CEILING - NEED, need=NEED)
    assert one.per_s == CEILING


def test_what_was_let_through_between_two_refusals_is_the_rate() -> None:
    one = rate()
    one.refused(10, granted=10, net=0, need=NEED)
    one.refused(30, granted=30, net=20 * 600, need=NEED)
    assert one.per_s == pytest.approx(600 * BELOW, rel=0.01)


def test_one_round_trip_is_one_lesson() -> None:
    one = rate()
    one.refused(10, granted=10, net=0, need=NEED)
    assert one.refused(20, granted=19, net=10 * 700, need=NEED)
    cut = one.per_s
    for late in range(5):
        assert not one.refused(20.1 + late / 10, granted=19.5, net=10 * 700, need=NEED)
    assert one.per_s == cut


def test_refusals_close_to_each_other_cut_by_half_at_most() -> None:
    one = rate()
    for at in (10.0, 11.0):
        one.refused(at, granted=at, net=0, need=NEED)
    assert one.per_s == pytest.approx(CEILING * LEAST_SHARE * BELOW)


def test_a_debt_of_the_servers_bucket_is_no_proof() -> None:
    one = rate()
    one.refused(10, granted=10, net=0, need=NEED)
    one.refused(11, granted=11, net=500, need=NEED, debt=500)
    assert one.per_s == CEILING


def test_after_a_plateau_it_looks_for_more_and_ends_at_the_ceiling() -> None:
    one = rate()
    one.refused(10, granted=10, net=0, need=NEED)
    one.refused(30, granted=30, net=20 * 500, need=NEED)
    one.tick(30, limited=True)
    cut = one.per_s
    assert after(one, PLATEAU_S - 0.5, 30) == cut
    assert cut * 1.3 > after(one, 3, 45) > cut
    assert after(one, 6, 48) == CEILING
    assert not one.changes


def test_few_calls_are_not_spent_on_looking_for_more() -> None:
    one = rate()
    one.refused(10, granted=10, net=0, need=NEED)
    one.refused(30, granted=30, net=20 * 500, need=NEED)
    one.tick(30, limited=True)
    cut = one.per_s
    assert after(one, 4 * PLATEAU_S, 30, PLATEAU_CALLS - 1) == cut
    assert after(one, 3, 90, 1) > cut


def test_an_unknown_rate_doubles_while_calls_wait_for_it() -> None:
    one = RateEstimator(inf, 0.0)
    one.begin(4_000)
    assert one.per_s == 4_000
    one.tick(0, limited=False)
    one.tick(10, limited=True)
    assert one.per_s == 4_000
    one.tick(12, limited=True)
    assert one.per_s == 8_000


def test_where_the_server_lost_some_the_rate_may_be_the_most_it_can_be() -> None:
    one = rate()
    one.refused(10, granted=10, net=0, need=NEED)
    one.refused(20, granted=20, net=5_000, need=NEED, lossy=True)
    assert one.per_s == pytest.approx((5_000 + NEED) / 10 * BELOW)


def test_burndown_that_the_server_has_not_charged_yet_explains_a_refusal() -> None:
    limits = Limits(QuotaOptions(tokens_per_minute=60_000), 5.0, 0.0)
    need = CallRequest(0, 100)  # reserves 500 here and 100 there

    def refuse(granted: float, now: float) -> None:
        limits.take(need, 500, granted)
        limits.ended(need, 500)
        limits.settle(need, 500, granted, CallOutcome(throttled=True), now)

    refuse(0.0, 0.0)
    for now in (1.0, 1.5):
        limits.take(need, 500, now)
    refuse(1.9, 2.0)
    assert limits.tokens_per_minute == 60_000
    refuse(3.9, 4.0)
    assert limits.tokens_per_minute < 60_000
