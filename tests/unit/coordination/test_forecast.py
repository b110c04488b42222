"""The time to go follows from calls and bytes, not from the number of books."""

from __future__ import annotations

import random

import pytest

from raypipe.coordination.counts import Progress
from raypipe.coordination.forecast import Forecast


def test_calls_are_forecast_before_a_book_is_done() -> None:
    forecast = Forecast(books=8, size=800, estimated_calls=100.0)
    forecast.update(Progress(), 0.0)
    outlook = forecast.update(Progress(model_calls=20), 10.0)
    assert (outlook.eta_s, outlook.limit, outlook.estimated_calls) == (40.0, "calls", 100)


def test_answers_from_the_cache_count_as_calls() -> None:
    forecast = Forecast(books=8, size=800, estimated_calls=100.0)
    forecast.update(Progress(), 0.0)
    assert forecast.update(Progress(model_calls=10, cached_calls=40), 10.0).eta_s == 10.0


def test_the_quota_limits_the_run() -> None:
    forecast = Forecast(books=8, size=800, estimated_calls=100.0)
    forecast.update(Progress(), 0.0)
    progress = Progress(model_calls=50, input_tokens=50_000, tokens_per_minute=10_000.0)
    outlook = forecast.update(progress, 10.0)
    assert (outlook.eta_s, outlook.limit) == (300.0, "quota")


def test_a_paused_quota_leaves_the_end_unknown() -> None:
    forecast = Forecast(books=8, size=800, estimated_calls=100.0)
    forecast.update(Progress(), 0.0)
    outlook = forecast.update(Progress(model_calls=50, paused="until tomorrow"), 10.0)
    assert (outlook.eta_s, outlook.limit) == (None, "quota")


def test_the_slowest_stage_limits_a_run_without_models() -> None:
    forecast = Forecast(books=10, size=1_000)
    forecast.update(Progress(), 0.0)
    stages = (("summarize", 8, 800), ("embed", 2, 200))
    outlook = forecast.update(Progress(stage_books=stages), 10.0)
    assert (outlook.eta_s, outlook.limit) == (40.0, "compute")


def test_a_finished_run_has_no_time_to_go() -> None:
    forecast = Forecast(books=2, size=100, estimated_calls=10.0)
    outlook = forecast.update(Progress(done=1, failed=1, model_calls=7), 5.0)
    assert (outlook.eta_s, outlook.estimated_calls) == (0.0, 7)


def test_calls_in_flight_are_still_to_come() -> None:
    forecast = Forecast(books=2, size=100, estimated_calls=10.0)
    forecast.update(Progress(), 0.0)
    outlook = forecast.update(Progress(model_calls=10, in_flight=3), 5.0)
    assert outlook.estimated_calls == 13
    assert outlook.eta_s is not None
    assert outlook.eta_s > 0


@pytest.mark.parametrize("error", [0.8, 1.0, 1.25])
def test_books_of_1_to_400_chunks_are_forecast_within_15_percent(error: float) -> None:
    """From a tenth done on, at a constant rate of calls, with an estimate that is off."""
    chances = random.Random(1)
    chunks = [chances.choice([1, 1, 2, 5, 20, 100, 400]) for _ in range(2_000)]
    calls_of_run, rate = sum(chunks), 50.0
    forecast = Forecast(len(chunks), calls_of_run * 1_000, calls_of_run * error)
    forecast.update(Progress(), 0.0)
    done = calls = 0
    for chunk_calls in chunks[:-1]:
        done, calls = done + 1, calls + chunk_calls
        progress = Progress(
            done=done, model_calls=calls, documented_calls=calls, documented_bytes=calls * 1_000
        )
        outlook = forecast.update(progress, calls / rate)
        if calls >= calls_of_run / 10 and calls_of_run - calls > 0.02 * calls_of_run:
            assert outlook.eta_s is not None
            left = (calls_of_run - calls) / rate
            total_s = calls_of_run / rate
            assert abs(outlook.eta_s - left) <= 0.15 * max(left, 0.1 * total_s)
