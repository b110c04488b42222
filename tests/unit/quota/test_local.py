from __future__ import annotations

import pickle  # noqa: TID251
import threading
import time

import pytest

from raypipe.core.errors import BookLeftError
from raypipe.quota.local import LocalQuotaClient
from raypipe.quota.protocol import CallOutcome, CallRequest

REQUEST = CallRequest(10, 5)


def measure_wait_s(quota: LocalQuotaClient) -> float:
    began = time.monotonic()
    quota.settle(quota.acquire(REQUEST), CallOutcome(1, 1))
    return time.monotonic() - began


def test_calls_in_flight_are_bounded() -> None:
    quota, granted = LocalQuotaClient(2), threading.Event()
    first, _ = quota.acquire(REQUEST), quota.acquire(REQUEST)

    def third() -> None:
        quota.acquire(REQUEST)
        granted.set()

    threading.Thread(target=third, daemon=True).start()
    assert not granted.wait(0.03)
    quota.settle(first, CallOutcome(10, 5))
    assert granted.wait(5)
    assert quota.totals().in_flight == 2
    with pytest.raises(ValueError, match="at least 1"):
        LocalQuotaClient(0)


def test_totals_add_up_and_a_lease_is_settled_only_once() -> None:
    quota = LocalQuotaClient(4, base_s=0.001)
    lease = quota.acquire(REQUEST)
    quota.settle(lease, CallOutcome(10, 5))
    with pytest.raises(KeyError):
        quota.settle(lease, CallOutcome(10, 5))
    for outcome in (
        CallOutcome(7, 3),
        CallOutcome(throttled=True),
        CallOutcome(unknown=True),
        CallOutcome(),
    ):
        quota.settle(quota.acquire(REQUEST), outcome)
    quota.count_cached_calls(3)
    totals = quota.totals()
    assert (totals.calls, totals.throttled, totals.unknown) == (2, 1, 1)
    assert (totals.input_tokens, totals.output_tokens) == (17, 8)
    assert (totals.cached_calls, totals.in_flight) == (3, 0)


def test_after_a_throttle_all_calls_wait_as_long_as_the_server_asked() -> None:
    quota = LocalQuotaClient(4, base_s=0.001)
    assert measure_wait_s(quota) < 0.03
    quota.settle(quota.acquire(REQUEST), CallOutcome(throttled=True, retry_after_s=0.05))
    assert measure_wait_s(quota) > 0.04


def test_throttles_in_a_row_lengthen_the_pause_but_throttles_of_calls_in_flight_count_once() -> (
    None
):
    quota = LocalQuotaClient(8, base_s=0.01, cap_s=0.02)
    leases = [quota.acquire(REQUEST) for _ in range(6)]
    for lease in leases:
        quota.settle(lease, CallOutcome(throttled=True))
    assert quota._throttles_in_a_row == 1
    quota.settle(quota.acquire(REQUEST), CallOutcome(throttled=True))
    quota.settle(quota.acquire(REQUEST), CallOutcome(throttled=True))
    assert quota._throttles_in_a_row == 3
    assert quota._paused_until - quota._paused_at <= 0.02
    quota.settle(quota.acquire(REQUEST), CallOutcome(1, 1))
    assert quota._throttles_in_a_row == 0


def test_a_stop_ends_a_wait() -> None:
    quota = LocalQuotaClient(1)
    quota.settle(quota.acquire(REQUEST), CallOutcome(throttled=True, daily=True))
    with pytest.raises(BookLeftError, match="the run stops"):
        quota.acquire(REQUEST, lambda: "the run stops")


def test_a_pickled_client_arrives_without_leases() -> None:
    quota = LocalQuotaClient(1)
    quota.acquire(REQUEST)
    copy = pickle.loads(pickle.dumps(quota))
    assert copy.acquire(REQUEST)
    assert copy.max_in_flight == 1
