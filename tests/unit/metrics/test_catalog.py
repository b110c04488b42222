from __future__ import annotations

import re

from raypipe.coordination.counts import Progress
from raypipe.coordination.forecast import Outlook
from raypipe.coordination.progress import Snapshot
from raypipe.metrics import catalog
from raypipe.metrics.catalog import METRICS, PREFIX, read_samples
from tests.unit.metrics.snapshots import FULL


def test_names_are_unique_and_have_the_prefix() -> None:
    names = [metric.name for metric in METRICS]
    assert len(set(names)) == len(names) > 20
    assert all(re.fullmatch(rf"{PREFIX}[a-z]+(_[a-z]+)*", name) for name in names)
    assert all(metric.description for metric in METRICS)


def test_each_metric_has_a_value_with_its_labels() -> None:
    samples = list(read_samples(FULL))
    assert {sample.metric for sample in samples} == set(METRICS)
    assert all(tuple(sample.labels) == sample.metric.labels for sample in samples)
    keys = [(sample.metric.name, *sample.labels.values()) for sample in samples]
    assert len(set(keys)) == len(keys), "one value for each series, also with two service tiers"


def test_values_are_those_of_the_progress() -> None:
    values = {
        (sample.metric, *sample.labels.values()): sample.value for sample in read_samples(FULL)
    }
    assert values[catalog.BOOKS, "done"] == 8
    assert values[catalog.MODEL_CALLS, "nova"] == 25
    assert values[catalog.TOKENS, "nova", "output"] == 800
    assert values[catalog.STAGE_SECONDS, "text"] == 1.5
    assert values[(catalog.QUOTA_SHARE,)] == 0.5
    assert values[catalog.STOPPING, "breaker"] == 1.0
    assert values[catalog.STOPPING, "budget"] == 0.0
    assert values[catalog.RETRIES, "index"] == 1
    assert values[(catalog.BOOKS_LEFT,)] == 20


def test_unknown_values_are_left_out() -> None:
    known = {sample.metric for sample in read_samples(Snapshot(Progress(), 5, Outlook()))}
    unknown = {catalog.ETA, catalog.QUOTA, catalog.BUDGET, catalog.MEMORY, catalog.CPU}
    assert known & unknown == set()


def test_the_exported_name_is_that_of_ray() -> None:
    assert catalog.BOOKS.exported_name == "ray_raypipe_books_total"
    assert catalog.BOOKS_LEFT.exported_name == "ray_raypipe_books_left"
