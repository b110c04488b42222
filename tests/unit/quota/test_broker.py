"""Who gets a lease, when, and what becomes of it."""

from __future__ import annotations

import pytest

from raypipe.core.errors import SetupError
from raypipe.core.options import QuotaOptions
from raypipe.quota.call_size import check_call_fits
from raypipe.quota.daily import DAY_S, MAX_RETRY_S
from raypipe.quota.protocol import CallOutcome, CallRequest
from tests.unit.quota.broker_harness import BrokerHarness, run_account


def test_first_come_first_served_up_to_the_calls_in_flight() -> None:
    harness = BrokerHarness(QuotaOptions(managed=False, max_in_flight=2))
    for name in "abcd":
        harness.request(name)
    assert harness.granted == ["a", "b"]
    harness.settle("b", CallOutcome(10, 5))
    harness.settle("a", CallOutcome(10, 5))
    assert harness.granted == ["a", "b", "c", "d"]
    assert (harness.totals().in_flight, harness.totals().calls) == (2, 2)


def test_a_refused_call_precedes_new_calls() -> None:
    harness = BrokerHarness(QuotaOptions(managed=False, max_in_flight=1))
    harness.request("a")
    harness.request("b")
    harness.request("c", is_retry=True)
    harness.settle("a")
    assert harness.granted == ["a", "c"]


def test_the_bucket_starts_empty_and_fills_steadily() -> None:
    harness = BrokerHarness(QuotaOptions(tokens_per_minute=60_000))
    harness.request("a", 1_500, 500)
    harness.wait(1.99)
    assert harness.granted == []
    harness.wait(0.02)
    assert harness.granted == ["a"]


def test_the_bucket_does_not_fill_before_the_first_call() -> None:
    # The server's own may be made by that call, empty: a burst would be refused.
    harness = BrokerHarness(QuotaOptions(tokens_per_minute=60_000, requests_per_minute=60))
    harness.wait(60)
    harness.request("a", 1_000)
    harness.wait(0.9)
    assert harness.granted == []
    harness.wait(0.2)
    assert harness.granted == ["a"]


def test_the_bucket_holds_a_few_seconds_of_quota() -> None:
    harness = BrokerHarness(QuotaOptions(tokens_per_minute=60_000))
    harness.fill_bucket()
    for name in "abcd":
        harness.request(name, 1_000)
    assert harness.granted == ["a", "b", "c"]


def test_unused_tokens_return_to_the_bucket() -> None:
    harness = BrokerHarness(QuotaOptions(tokens_per_minute=60_000))
    harness.fill_bucket()
    harness.request("a", 1_000, 2_000)
    harness.request("b", 1_500)
    assert harness.granted == ["a"]
    harness.settle("a", CallOutcome(1_000, 500))
    assert harness.granted == ["a", "b"]


def test_an_unknown_outcome_counts_as_spent() -> None:
    harness = BrokerHarness(QuotaOptions(tokens_per_minute=60_000))
    harness.fill_bucket()
    harness.request("a", 1_000, 2_000)
    harness.request("b", 1_500)
    harness.settle("a", CallOutcome(unknown=True))
    assert harness.granted == ["a"]
    assert (harness.totals().unknown, harness.totals().calls) == (1, 0)
    assert harness.totals().usd == pytest.approx((1_000 + 10 * 2_000) / 1e6)
    harness.wait(1.51)
    assert harness.granted == ["a", "b"]


def test_a_call_larger_than_the_bucket_waits_until_it_is_full_and_leaves_a_debt() -> None:
    harness = BrokerHarness(QuotaOptions(tokens_per_minute=60_000))
    harness.request("a", 30_000)
    harness.request("b", 1)
    harness.wait(2.9)
    assert harness.granted == []
    harness.wait(0.2)
    assert harness.granted == ["a"]
    harness.wait(27.2)
    assert harness.granted == ["a"]
    harness.wait(0.3)
    assert harness.granted == ["a", "b"]


def test_a_call_above_the_quota_of_a_minute_is_refused_at_once() -> None:
    harness = BrokerHarness(QuotaOptions(tokens_per_minute=60_000))
    harness.request("a", 59_000, 2_000)
    assert harness.refused["a"].kind == "setup"
    with pytest.raises(SetupError, match=r"quota\.tokens_per_minute=60000 .* 59000 .*=2000"):
        check_call_fits(QuotaOptions(tokens_per_minute=60_000), CallRequest(59_000, 2_000))
    check_call_fits(QuotaOptions(tokens_per_minute=60_000), CallRequest(59_000, 1_000))
    check_call_fits(QuotaOptions(managed=False, tokens_per_minute=1), CallRequest(59_000, 1_000))
    with pytest.raises(SetupError, match=r"quota\.tokens_per_day=100 "):
        check_call_fits(QuotaOptions(tokens_per_day=100), CallRequest(101, 0))


def test_a_cautious_reservation_does_not_block_a_call() -> None:
    harness = BrokerHarness(QuotaOptions(tokens_per_minute=60_000), burndown=15)
    harness.request("a", 50_000, 10_000)  # as 200,000 at the worst
    harness.wait(4)
    assert harness.granted == ["a"]


def test_burndown_is_reserved_by_the_length_of_earlier_answers() -> None:
    harness = BrokerHarness(QuotaOptions(tokens_per_minute=60_000), burndown=5)
    harness.fill_bucket()
    harness.request("a", 0, 100)
    harness.settle("a", CallOutcome(1, 50))  # half of max_tokens
    harness.wait(60)
    harness.request("b", 0, 1_000)  # as 2,500 of the 3,000
    harness.request("c", 600)
    assert harness.granted == ["a", "b"]
    harness.settle("b", CallOutcome(0, 500))
    assert harness.granted == ["a", "b"]
    harness.wait(0.2)
    assert harness.granted == ["a", "b", "c"]


def test_requests_per_minute_are_limited() -> None:
    harness = BrokerHarness(QuotaOptions(requests_per_minute=30))
    for name in "abc":
        harness.request(name)
    harness.wait(2.1)
    assert harness.granted == ["a"]
    harness.settle("a", CallOutcome(1, 1))
    harness.wait(1.8)
    assert harness.granted == ["a"]
    harness.wait(0.2)
    assert harness.granted == ["a", "b"]


@pytest.mark.parametrize("answered_after_s", [1.0, None])
def test_the_first_call_goes_alone_until_its_outcome_is_known(
    answered_after_s: float | None,
) -> None:
    harness = BrokerHarness(QuotaOptions(tokens_per_minute=600_000))
    for name in "abc":
        harness.request(name, 1_000)
    harness.wait(1)
    assert harness.granted == ["a"]
    if answered_after_s is None:
        harness.wait(4)
        assert harness.granted == ["a"]
        harness.wait(0.2)
    else:
        harness.settle("a", CallOutcome(1_000, 0))
    assert harness.granted == ["a", "b", "c"]


def test_after_a_throttle_no_call_begins_for_as_long_as_the_server_says() -> None:
    harness = BrokerHarness(QuotaOptions(tokens_per_minute=60_000_000))
    harness.fill_bucket()
    harness.request("a")
    harness.settle("a", CallOutcome(throttled=True, retry_after_s=7))
    harness.request("b")
    harness.request("a retry", is_retry=True)
    harness.wait(6.9)
    assert harness.granted == ["a"]
    harness.wait(0.2)
    assert harness.granted == ["a", "a retry", "b"]
    assert harness.totals().throttled == 1


def test_tokens_are_saved_up_for_a_refused_call_that_is_larger_than_the_bucket() -> None:
    # Full is not enough: the server's bucket may be deeper, and empty.
    harness = BrokerHarness(QuotaOptions(tokens_per_minute=60_000))
    harness.fill_bucket()
    harness.request("a", 20_000)
    harness.settle("a", CallOutcome(throttled=True))
    harness.request("a retry", 20_000, is_retry=True)
    harness.wait(19)
    assert harness.granted == ["a"]
    harness.wait(1.5)
    assert harness.granted == ["a", "a retry"]


def test_an_unmanaged_quota_pauses_after_a_throttle_too() -> None:
    harness = BrokerHarness()
    harness.request("a")
    harness.settle("a", CallOutcome(throttled=True))
    harness.request("b")
    assert harness.granted == ["a"]
    harness.wait(1.1)
    assert harness.granted == ["a", "b"]
    assert harness.totals().tokens_per_minute is None


def test_a_used_up_daily_quota_pauses_and_is_reported() -> None:
    harness = BrokerHarness(QuotaOptions(tokens_per_day=1_000))
    harness.request("a", 500, 400)
    harness.wait(1.1)
    harness.settle("a", CallOutcome(500, 300))
    harness.request("b", 300)
    harness.wait(60)
    assert harness.granted == ["a"]
    assert "quota.tokens_per_day=1000 is used up" in harness.totals().paused
    assert harness.broker.grant_waiting(harness.now) > 5, "the broker does not poll"
    harness.wait(DAY_S)
    assert harness.granted == ["a", "b"]
    assert harness.totals().paused == ""


@pytest.mark.parametrize(
    ("retry_after_s", "wait"), [(None, MAX_RETRY_S), (60_000, MAX_RETRY_S), (120, 120)]
)
def test_the_server_can_report_that_the_daily_quota_is_used_up(
    retry_after_s: float | None, wait: float
) -> None:
    harness = BrokerHarness(QuotaOptions(tokens_per_minute=60_000_000))
    harness.fill_bucket()
    harness.request("a")
    harness.settle("a", CallOutcome(throttled=True, daily=True, retry_after_s=retry_after_s))
    harness.request("a retry", is_retry=True)
    assert "the quota of the day is used up" in harness.totals().paused
    harness.wait(wait - 1)
    assert harness.granted == ["a"]
    harness.wait(2)
    assert harness.granted == ["a", "a retry"]


def test_a_stop_refuses_the_waiting_calls_of_its_run_only() -> None:
    harness = BrokerHarness(QuotaOptions(managed=False, max_in_flight=1))
    other = run_account()
    harness.request("a")
    harness.request("b")
    harness.request("c", account=other)
    harness.broker.stop(harness.account, "asked to stop")
    harness.request("d")
    assert {name: refusal.reason for name, refusal in harness.refused.items()} == {
        "b": "asked to stop",
        "d": "asked to stop",
    }
    assert {refusal.kind for refusal in harness.refused.values()} == {"stopped"}
    harness.settle("a", CallOutcome(1, 1))
    assert harness.granted == ["a", "c"]
    assert (harness.totals().calls, harness.totals(other).calls) == (1, 0)


def test_a_new_quota_applies_at_once() -> None:
    harness = BrokerHarness(QuotaOptions(tokens_per_minute=60))
    harness.broker.configure(QuotaOptions(tokens_per_minute=60_000), 1.0, harness.now)
    harness.request("a", 1_000)
    harness.wait(1.1)
    assert harness.granted == ["a"]
    harness.settle("a", CallOutcome(1_000))
    harness.broker.configure(QuotaOptions(tokens_per_minute=60_000), 1.0, harness.now)
    harness.wait(1.1)
    harness.request("b", 1_000)
    assert harness.granted == ["a", "b"], "the same numbers keep the bucket"
