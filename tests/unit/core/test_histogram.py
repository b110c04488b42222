from __future__ import annotations

import json
import random

import numpy as np
import pytest

from raypipe.core.histogram import BUCKETS, Histogram, read_histogram


def test_percentiles_are_near_the_exact_values() -> None:
    values = [random.Random(1).lognormvariate(-2, 2) for _ in range(5)]
    values += [random.Random(number).lognormvariate(-2, 2) for number in range(5_000)]
    histogram = Histogram(1e-4)
    for value in values:
        histogram.add(value)
    for share in (0.5, 0.95, 0.99):
        exact = float(np.percentile(values, share * 100))
        assert abs(histogram.percentile(share) / exact - 1) < 0.03
    assert histogram.count == len(values)
    assert histogram.percentile(1.0) <= histogram.largest == max(values)
    assert abs(histogram.total - sum(values)) < 1e-6


@pytest.mark.parametrize("value", [0.0, 1e-9, 1e-4, 0.5, 1e9, 1e300])
def test_any_value_has_a_bucket(value: float) -> None:
    histogram = Histogram(1e-4)
    histogram.add(value, times=3)
    [bucket] = histogram.counts
    assert 0 <= bucket < BUCKETS
    assert histogram.percentile(0.5) <= value


def test_a_single_value_is_every_percentile_within_a_bucket() -> None:
    histogram = Histogram(1.0)
    histogram.add(1_000)
    assert histogram.percentile(0.01) == histogram.percentile(0.99)
    assert abs(histogram.percentile(0.5) / 1_000 - 1) < 0.05
    assert Histogram(1.0).percentile(0.5) == 0


def test_merged_histograms_count_as_one() -> None:
    whole, first, second = Histogram(1.0), Histogram(1.0), Histogram(1.0)
    for number in range(1, 200):
        whole.add(number)
        (first if number % 3 else second).add(number)
    first.merge(second)
    assert first == whole


def test_ranges_double_and_have_no_gaps() -> None:
    histogram = Histogram(1.0)
    for value in (3, 4, 5, 40):
        histogram.add(value)
    assert histogram.by_doubling() == [(4.0, 2), (8.0, 1), (16.0, 0), (32.0, 0), (64.0, 1)]
    assert Histogram(1.0).by_doubling() == []


def test_a_histogram_survives_json_and_a_damaged_one_is_refused() -> None:
    histogram = Histogram(1e-4)
    histogram.add(0.25, 4)
    values = json.loads(json.dumps(histogram.describe()))
    assert read_histogram(values) == histogram
    for damage in (
        {"counts": {"-1": 2}},
        {"counts": {"256": 2}},
        {"counts": {"x": 2}},
        {"counts": {"3": -1}},
        {"counts": [1]},
        {"unit": 0},
        {"total": float("nan")},
        {"largest": None},
        {"counts": {"1": float("inf")}},
    ):
        with pytest.raises(ValueError, match=r"histogram|number|invalid|range"):
            read_histogram({**values, **damage})
