"""Who gets a lease, when, and what becomes of it."""

from __future__ import annotations

import pytest

from raypipe.core.errors import SetupError
from raypipe.core.options import QuotaOptions
from raypipe.quota.daily import DAY_S, TRY_S
from raypipe.quota.protocol import CallOutcome, CallRequest
from raypipe.quota.reservation import check_call_fits
from tests.unit.quota.desk import Desk, client


def test_first_come_first_served_up_to_the_calls_in_flight() -> None:
    desk = Desk(QuotaOptions(managed=False, max_in_flight=2))
    for name in "abcd":
        desk.ask(name)
    assert desk.granted == ["a", "b"]
    desk.settle("b", CallOutcome(10, 5))
    desk.settle("a", CallOutcome(10, 5))
    assert desk.granted == ["a", "b", "c", "d"]
    assert (desk.totals().in_flight, desk.totals().calls) == (2, 2)


def test_what_was_refused_before_goes_first() -> None:
    desk = Desk(QuotaOptions(managed=False, max_in_flight=1))
    desk.ask("a")
    desk.ask("b")
    desk.ask("c", again=True)
    desk.settle("a")
    assert desk.granted == ["a", "c"]


def test_the_bucket_starts_empty_and_fills_steadily() -> None:
    desk = Desk(QuotaOptions(tokens_per_minute=60_000))
    desk.ask("a", 1_500, 500)
    desk.wait(1.99)
    assert desk.granted == []
    desk.wait(0.02)
    assert desk.granted == ["a"]


def test_it_does_not_fill_before_the_first_call() -> None:
    # The server's own may be made by that call, empty: a burst would be refused.
    desk = Desk(QuotaOptions(tokens_per_minute=60_000, requests_per_minute=60))
    desk.wait(60)
    desk.ask("a", 1_000)
    desk.wait(0.9)
    assert desk.granted == []
    desk.wait(0.2)
    assert desk.granted == ["a"]


def test_it_holds_a_few_seconds() -> None:
    desk = Desk(QuotaOptions(tokens_per_minute=60_000))
    desk.fill()
    for name in "abcd":
        desk.ask(name, 1_000)
    assert desk.granted == ["a", "b", "c"]


def test_what_was_not_taken_comes_back() -> None:
    desk = Desk(QuotaOptions(tokens_per_minute=60_000))
    desk.fill()
    desk.ask("a", 1_000, 2_000)
    desk.ask("b", 1_500)
    assert desk.granted == ["a"]
    desk.settle("a", CallOutcome(1_000, 500))
    assert desk.granted == ["a", "b"]


def test_an_unknown_fate_counts_as_spent() -> None:
    desk = Desk(QuotaOptions(tokens_per_minute=60_000))
    desk.fill()
    desk.ask("a", 1_000, 2_000)
    desk.ask("b", 1_500)
    desk.settle("a", CallOutcome(unknown=True))
    assert desk.granted == ["a"]
    assert (desk.totals().unknown, desk.totals().calls) == (1, 0)
    assert desk.totals().usd == pytest.approx((1_000 + 10 * 2_000) / 1e6)
    desk.wait(1.51)
    assert desk.granted == ["a", "b"]


def test_more_than_the_bucket_holds_goes_when_it_is_full_and_leaves_a_debt() -> None:
    desk = Desk(QuotaOptions(tokens_per_minute=60_000))
    desk.ask("a", 30_000)
    desk.ask("b", 1)
    desk.wait(2.9)
    assert desk.granted == []
    desk.wait(0.2)
    assert desk.granted == ["a"]
    desk.wait(27.2)
    assert desk.granted == ["a"]
    desk.wait(0.3)
    assert desk.granted == ["a", "b"]


def test_more_than_a_minute_is_refused_at_once() -> None:
    desk = Desk(QuotaOptions(tokens_per_minute=60_000))
    desk.ask("a", 59_000, 2_000)
    assert desk.refused["a"].kind == "setup"
    with pytest.raises(SetupError, match=r"quota\.tokens_per_minute=60000 .* 59000 .*=2000"):
        check_call_fits(QuotaOptions(tokens_per_minute=60_000), CallRequest(59_000, 2_000))
    check_call_fits(QuotaOptions(tokens_per_minute=60_000), CallRequest(59_000, 1_000))
    check_call_fits(QuotaOptions(managed=False, tokens_per_minute=1), CallRequest(59_000, 1_000))
    with pytest.raises(SetupError, match=r"quota\.tokens_per_day=100 "):
        check_call_fits(QuotaOptions(tokens_per_day=100), CallRequest(101, 0))


def test_our_own_caution_keeps_no_call_out() -> None:
    desk = Desk(QuotaOptions(tokens_per_minute=60_000), burndown=15)
    desk.ask("a", 50_000, 10_000)  # as 200,000 at the worst
    desk.wait(4)
    assert desk.granted == ["a"]


def test_burndown_is_charged_before_it_is_due_as_answers_were_so_far() -> None:
    desk = Desk(QuotaOptions(tokens_per_minute=60_000), burndown=5)
    desk.fill()
    desk.ask("a", 0, 100)
    desk.settle("a", CallOutcome(1, 50))  # half of max_tokens
    desk.wait(60)
    desk.ask("b", 0, 1_000)  # as 2,500 of the 3,000
    desk.ask("c", 600)
    assert desk.granted == ["a", "b"]
    desk.settle("b", CallOutcome(0, 500))
    assert desk.granted == ["a", "b"]
    desk.wait(0.2)
    assert desk.granted == ["a", "b", "c"]


def test_requests_have_a_minute_too() -> None:
    desk = Desk(QuotaOptions(requests_per_minute=30))
    for name in "abc":
        desk.ask(name)
    desk.wait(2.1)
    assert desk.granted == ["a"]
    desk.settle("a", CallOutcome(1, 1))
    desk.wait(1.8)
    assert desk.granted == ["a"]
    desk.wait(0.2)
    assert desk.granted == ["a", "b"]


@pytest.mark.parametrize("heard_s", [1.0, None])
def test_the_first_call_goes_alone_until_something_is_known(heard_s: float | None) -> None:
    desk = Desk(QuotaOptions(tokens_per_minute=600_000))
    for name in "abc":
        desk.ask(name, 1_000)
    desk.wait(1)
    assert desk.granted == ["a"]
    if heard_s is None:
        desk.wait(4)
        assert desk.granted == ["a"]
        desk.wait(0.2)
    else:
        desk.settle("a", CallOutcome(1_000, 0))
    assert desk.granted == ["a", "b", "c"]


def test_after_a_throttle_nothing_goes_for_as_long_as_the_server_says() -> None:
    desk = Desk(QuotaOptions(tokens_per_minute=60_000_000))
    desk.fill()
    desk.ask("a")
    desk.settle("a", CallOutcome(throttled=True, retry_after_s=7))
    desk.ask("b")
    desk.ask("a again", again=True)
    desk.wait(6.9)
    assert desk.granted == ["a"]
    desk.wait(0.2)
    assert desk.granted == ["a", "a again", "b"]
    assert desk.totals().throttled == 1


def test_a_refused_call_that_is_larger_than_the_bucket_is_saved_up_for() -> None:
    # Full is not enough: the server's bucket may be deeper, and empty.
    desk = Desk(QuotaOptions(tokens_per_minute=60_000))
    desk.fill()
    desk.ask("a", 20_000)
    desk.settle("a", CallOutcome(throttled=True))
    desk.ask("a again", 20_000, again=True)
    desk.wait(19)
    assert desk.granted == ["a"]
    desk.wait(1.5)
    assert desk.granted == ["a", "a again"]


def test_unmanaged_it_waits_after_a_throttle_too() -> None:
    desk = Desk()
    desk.ask("a")
    desk.settle("a", CallOutcome(throttled=True))
    desk.ask("b")
    assert desk.granted == ["a"]
    desk.wait(1.1)
    assert desk.granted == ["a", "b"]
    assert desk.totals().tokens_per_minute is None


def test_the_quota_of_the_day_pauses_and_says_so() -> None:
    desk = Desk(QuotaOptions(tokens_per_day=1_000))
    desk.ask("a", 500, 400)
    desk.wait(1.1)
    desk.settle("a", CallOutcome(500, 300))
    desk.ask("b", 300)
    desk.wait(60)
    assert desk.granted == ["a"]
    assert "quota.tokens_per_day=1000 is used up" in desk.totals().paused
    assert desk.broker.turn(desk.now) > 5, "it does not spin"
    desk.wait(DAY_S)
    assert desk.granted == ["a", "b"]
    assert desk.totals().paused == ""


@pytest.mark.parametrize(("retry_after_s", "wait"), [(None, TRY_S), (60_000, TRY_S), (120, 120)])
def test_the_server_may_say_that_the_day_is_over(retry_after_s: float | None, wait: float) -> None:
    desk = Desk(QuotaOptions(tokens_per_minute=60_000_000))
    desk.fill()
    desk.ask("a")
    desk.settle("a", CallOutcome(throttled=True, daily=True, retry_after_s=retry_after_s))
    desk.ask("a again", again=True)
    assert "the quota of the day is used up" in desk.totals().paused
    desk.wait(wait - 1)
    assert desk.granted == ["a"]
    desk.wait(2)
    assert desk.granted == ["a", "a again"]


def test_a_stop_ends_the_waiting_of_its_run_alone() -> None:
    desk = Desk(QuotaOptions(managed=False, max_in_flight=1))
    other = client()
    desk.ask("a")
    desk.ask("b")
    desk.ask("c", of=other)
    desk.broker.stop(desk.client, "asked to stop")
    desk.ask("d")
    assert {name: one.reason for name, one in desk.refused.items()} == {
        "b": "asked to stop",
        "d": "asked to stop",
    }
    assert {one.kind for one in desk.refused.values()} == {"left"}
    desk.settle("a", CallOutcome(1, 1))
    assert desk.granted == ["a", "c"]
    assert (desk.totals().calls, desk.totals(other).calls) == (1, 0)


def test_a_new_quota_holds_from_now_on() -> None:
    desk = Desk(QuotaOptions(tokens_per_minute=60))
    desk.broker.configure(QuotaOptions(tokens_per_minute=60_000), 1.0, desk.now)
    desk.ask("a", 1_000)
    desk.wait(1.1)
    assert desk.granted == ["a"]
    desk.settle("a", CallOutcome(1_000))
    desk.broker.configure(QuotaOptions(tokens_per_minute=60_000), 1.0, desk.now)
    desk.wait(1.1)
    desk.ask("b", 1_000)
    assert desk.granted == ["a", "b"], "the same numbers keep the bucket"
