"""Quota as Bedrock counts it, on a clock that the tests turn."""

from __future__ import annotations

import pytest

from raypipe.simulator.calls import Refused
from raypipe.simulator.options import ServerQuotaOptions
from raypipe.simulator.quota import DAY_S, Quota


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def refused(quota: Quota, tokens: int) -> Refused:
    with pytest.raises(Refused) as caught:
        quota.admit(tokens)
    return caught.value


def test_the_bucket_starts_empty_fills_steadily_and_holds_its_seconds(clock: Clock) -> None:
    quota = Quota(ServerQuotaOptions(tokens_per_minute=6_000, capacity_s=5), clock)
    error = refused(quota, 100)
    assert (error.kind, error.retry_after_s) == ("throttle", pytest.approx(1.0))
    clock.now += 1
    quota.admit(100)
    clock.now += 60
    assert quota.state()["tokens_level"] == 500


def test_what_was_reserved_and_not_used_comes_back(clock: Clock) -> None:
    quota = Quota(ServerQuotaOptions(tokens_per_minute=60_000, start_level=1), clock)
    quota.admit(4_000)
    assert quota.state()["tokens_level"] == 1_000
    quota.settle(4_000, 1_500)
    assert quota.state()["tokens_level"] == 3_500
    assert quota.settled == 1_500


def test_burndown_can_settle_above_the_reservation(clock: Clock) -> None:
    # AWS's example with a smaller max_tokens: 1,000 in, 1,000 out at 5x, 2,000 reserved.
    quota = Quota(ServerQuotaOptions(tokens_per_minute=60_000, start_level=1, burndown=5), clock)
    quota.admit(2_000)
    quota.settle(2_000, 1_000 + 5 * 1_000)
    assert quota.state()["tokens_level"] == -1_000
    assert refused(quota, 1).retry_after_s == pytest.approx(1.001)


def test_a_refusal_takes_nothing(clock: Clock) -> None:
    options = ServerQuotaOptions(tokens_per_minute=6_000, requests_per_minute=60, start_level=1)
    quota = Quota(options, clock)
    quota.admit(500)
    refused(quota, 1)
    assert quota.state()["requests_level"] == 4
    assert quota.state()["tokens_level"] == 0


def test_a_call_larger_than_the_bucket_goes_in_when_it_is_full(clock: Clock) -> None:
    quota = Quota(ServerQuotaOptions(tokens_per_minute=6_000, capacity_s=5), clock)
    clock.now += 4
    refused(quota, 2_000)
    clock.now += 1
    quota.admit(2_000)
    assert quota.state()["tokens_level"] == -1_500
    never = refused(quota, 6_001)
    assert (never.kind, never.retry_after_s) == ("throttle", None)


def test_requests_have_a_bucket_of_their_own(clock: Clock) -> None:
    quota = Quota(ServerQuotaOptions(requests_per_minute=6, capacity_s=5, start_level=1), clock)
    quota.admit(1)
    assert refused(quota, 1).kind == "throttle_requests"
    clock.now += 10
    quota.admit(1)


def test_the_day_ends_after_24_hours(clock: Clock) -> None:
    quota = Quota(ServerQuotaOptions(tokens_per_day=1_000), clock)
    quota.admit(900)
    quota.settle(900, 600)
    clock.now += 3_600
    error = refused(quota, 500)
    assert (error.kind, error.retry_after_s) == ("throttle_day", DAY_S - 3_600)
    quota.admit(400)
    clock.now += DAY_S - 3_600
    quota.admit(1_000)


def test_utilization_is_settled_over_what_flowed_since_the_first_call(clock: Clock) -> None:
    quota = Quota(ServerQuotaOptions(tokens_per_minute=60_000, start_level=1), clock)
    clock.now += 1_000  # before the first call nothing counts
    quota.admit(5_000)
    quota.settle(5_000, 5_000)
    clock.now += 10
    assert quota.state()["utilization"] == 0.5
    quota.change(ServerQuotaOptions(tokens_per_minute=30_000))
    clock.now += 10
    assert quota.integral() == pytest.approx(15_000)
    assert quota.state()["tokens_level"] == 2_500  # the smaller bucket's capacity


def test_without_a_quota_everything_goes_in(clock: Clock) -> None:
    quota = Quota(ServerQuotaOptions(), clock)
    quota.admit(10**9)
    assert quota.state()["utilization"] is None
