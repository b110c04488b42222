"""Quota as Bedrock counts it, on a clock that the tests set."""

from __future__ import annotations

import pytest

from raypipe.simulator.calls import CallRefused
from raypipe.simulator.options import ServerQuotaOptions
from raypipe.simulator.quota import DAY_S, Quota


class FakeClock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def catch_refusal(quota: Quota, tokens: int) -> CallRefused:
    with pytest.raises(CallRefused) as caught:
        quota.admit(tokens)
    return caught.value


def test_a_bucket_starts_empty_and_fills_up_to_its_capacity(clock: FakeClock) -> None:
    quota = Quota(ServerQuotaOptions(tokens_per_minute=6_000, capacity_s=5), clock)
    error = catch_refusal(quota, 100)
    assert (error.kind, error.retry_after_s) == ("throttle", pytest.approx(1.0))
    clock.now += 1
    quota.admit(100)
    clock.now += 60
    assert quota.state()["tokens_level"] == 500


def test_unused_reserved_tokens_are_refunded(clock: FakeClock) -> None:
    quota = Quota(ServerQuotaOptions(tokens_per_minute=60_000, start_level=1), clock)
    quota.admit(4_000)
    assert quota.state()["tokens_level"] == 1_000
    quota.settle(4_000, 1_500)
    assert quota.state()["tokens_level"] == 3_500
    assert quota.settled == 1_500


def test_burndown_can_settle_more_than_was_reserved(clock: FakeClock) -> None:
    # AWS's example with a smaller max_tokens: 1,000 in, 1,000 out at 5x, 2,000 reserved.
    quota = Quota(ServerQuotaOptions(tokens_per_minute=60_000, start_level=1, burndown=5), clock)
    quota.admit(2_000)
    quota.settle(2_000, 1_000 + 5 * 1_000)
    assert quota.state()["tokens_level"] == -1_000
    assert catch_refusal(quota, 1).retry_after_s == pytest.approx(1.001)


def test_a_refused_call_reserves_nothing(clock: FakeClock) -> None:
    options = ServerQuotaOptions(tokens_per_minute=6_000, requests_per_minute=60, start_level=1)
    quota = Quota(options, clock)
    quota.admit(500)
    catch_refusal(quota, 1)
    assert quota.state()["requests_level"] == 4
    assert quota.state()["tokens_level"] == 0


def test_a_call_larger_than_the_bucket_is_admitted_once_it_is_full(clock: FakeClock) -> None:
    quota = Quota(ServerQuotaOptions(tokens_per_minute=6_000, capacity_s=5), clock)
    clock.now += 4
    catch_refusal(quota, 2_000)
    clock.now += 1
    quota.admit(2_000)
    assert quota.state()["tokens_level"] == -1_500
    error = catch_refusal(quota, 6_001)
    assert (error.kind, error.retry_after_s) == ("throttle", None)


def test_requests_have_a_separate_bucket(clock: FakeClock) -> None:
    quota = Quota(ServerQuotaOptions(requests_per_minute=6, capacity_s=5, start_level=1), clock)
    quota.admit(1)
    assert catch_refusal(quota, 1).kind == "throttle_requests"
    clock.now += 10
    quota.admit(1)


def test_daily_quota_resets_after_24_hours(clock: FakeClock) -> None:
    quota = Quota(ServerQuotaOptions(tokens_per_day=1_000), clock)
    quota.admit(900)
    quota.settle(900, 600)
    clock.now += 3_600
    error = catch_refusal(quota, 500)
    assert (error.kind, error.retry_after_s) == ("throttle_day", DAY_S - 3_600)
    quota.admit(400)
    clock.now += DAY_S - 3_600
    quota.admit(1_000)


def test_utilization_is_settled_over_allowed_tokens(clock: FakeClock) -> None:
    quota = Quota(ServerQuotaOptions(tokens_per_minute=60_000, start_level=1), clock)
    clock.now += 1_000  # time before the first call does not count
    quota.admit(5_000)
    quota.settle(5_000, 5_000)
    clock.now += 10
    assert quota.state()["utilization"] == 0.5
    quota.change(ServerQuotaOptions(tokens_per_minute=30_000))
    clock.now += 10
    assert quota.integral() == pytest.approx(15_000)
    assert quota.state()["tokens_level"] == 2_500  # the smaller bucket's capacity


def test_without_limits_every_call_is_admitted(clock: FakeClock) -> None:
    quota = Quota(ServerQuotaOptions(), clock)
    quota.admit(10**9)
    assert quota.state()["utilization"] is None
