from __future__ import annotations

import pickle  # noqa: TID251
import threading
import time

import pytest

from raypipe.core.errors import BookLeftError
from raypipe.quota.local import LocalQuotaClient
from raypipe.quota.protocol import CallOutcome, CallRequest

NEED = CallRequest(10, 5)


def waited_s(permits: LocalQuotaClient) -> float:
    began = time.monotonic()
    permits.settle(permits.acquire(NEED), CallOutcome(1, 1))
    return time.monotonic() - began


def test_no_more_at_a_time_than_allowed() -> None:
    permits, got = LocalQuotaClient(2), threading.Event()
    first, _ = permits.acquire(NEED), permits.acquire(NEED)

    def third() -> None:
        permits.acquire(NEED)
        got.set()

    threading.Thread(target=third, daemon=True).start()
    assert not got.wait(0.03)
    permits.settle(first, CallOutcome(10, 5))
    assert got.wait(5)
    assert permits.totals().in_flight == 2
    with pytest.raises(ValueError, match="at least 1"):
        LocalQuotaClient(0)


def test_totals_add_up_and_a_lease_is_settled_once() -> None:
    permits = LocalQuotaClient(4, base_s=0.001)
    lease = permits.acquire(NEED)
    permits.settle(lease, CallOutcome(10, 5))
    with pytest.raises(KeyError):
        permits.settle(lease, CallOutcome(10, 5))
    for spent in (
        CallOutcome(7, 3),
        CallOutcome(throttled=True),
        CallOutcome(unknown=True),
        CallOutcome(),
    ):
        permits.settle(permits.acquire(NEED), spent)
    permits.count_cached_calls(3)
    totals = permits.totals()
    assert (totals.calls, totals.throttled, totals.unknown) == (2, 1, 1)
    assert (totals.input_tokens, totals.output_tokens) == (17, 8)
    assert (totals.cached_calls, totals.in_flight) == (3, 0)


def test_after_a_throttle_everyone_waits_as_long_as_the_server_asked() -> None:
    permits = LocalQuotaClient(4, base_s=0.001)
    assert waited_s(permits) < 0.03
    permits.settle(permits.acquire(NEED), CallOutcome(throttled=True, retry_after_s=0.05))
    assert waited_s(permits) > 0.04


def test_throttles_in_a_row_make_longer_pauses_but_not_those_of_one_volley() -> None:
    permits = LocalQuotaClient(8, base_s=0.01, cap_s=0.02)
    leases = [permits.acquire(NEED) for _ in range(6)]
    for lease in leases:
        permits.settle(lease, CallOutcome(throttled=True))
    assert permits._throttles == 1
    permits.settle(permits.acquire(NEED), CallOutcome(throttled=True))
    permits.settle(permits.acquire(NEED), CallOutcome(throttled=True))
    assert permits._throttles == 3
    assert permits._paused_until - permits._paused_at <= 0.02
    permits.settle(permits.acquire(NEED), CallOutcome(1, 1))
    assert permits._throttles == 0


def test_a_wait_ends_when_it_is_stopped() -> None:
    permits = LocalQuotaClient(1)
    permits.settle(permits.acquire(NEED), CallOutcome(throttled=True, daily=True))
    with pytest.raises(BookLeftError, match="the run stops"):
        permits.acquire(NEED, lambda: "the run stops")


def test_pickled_it_comes_back_free() -> None:
    permits = LocalQuotaClient(1)
    permits.acquire(NEED)
    copy = pickle.loads(pickle.dumps(permits))
    assert copy.acquire(NEED)
    assert copy.max_in_flight == 1
