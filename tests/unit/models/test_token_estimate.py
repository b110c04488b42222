from __future__ import annotations

import threading

import pytest

from raypipe.models.calling.token_estimate import TokenEstimate


def test_the_first_estimate_is_not_too_low_and_improves() -> None:
    estimate = TokenEstimate()
    assert estimate.tokens(3_000) >= 1_000
    for _ in range(60):
        estimate.learn(4_000, 1_000)
    assert estimate.tokens(4_000) == pytest.approx(1_000, abs=30)
    estimate.learn(4_000, 2_000)  # an estimate that was too low is corrected at once
    assert estimate.tokens(4_000) > 1_250


def test_short_texts_missing_counts_and_absurd_counts_do_not_distort_the_estimate() -> None:
    estimate = TokenEstimate()
    estimate.learn(20, 40)
    estimate.learn(4_000, 0)
    assert estimate.bytes_per_token == 3.0
    for _ in range(99):
        estimate.learn(10**9, 1)
    assert estimate.bytes_per_token <= 8.0


def test_many_threads_may_learn() -> None:
    estimate = TokenEstimate()

    def learn() -> None:
        for _ in range(200):
            estimate.learn(4_000, 1_000)

    threads = [threading.Thread(target=learn) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert estimate.bytes_per_token == pytest.approx(4.0, abs=0.01)
