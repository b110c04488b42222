"""How many batches wait at an actor."""

from __future__ import annotations

import pytest

from raypipe.run.ray_data import batches_ahead


@pytest.mark.parametrize(
    ("calls", "workers", "batches", "ahead"),
    [
        (1, 2, 10, 3),  # few batches: all actors have work until the end
        (1, 2, 80, 10),
        (1, 1, 100_000, 64),
        (32, 2, 10, 8),  # a quarter of the calls
    ],
)
def test_batches_ahead(calls: int, workers: int, batches: int, ahead: int) -> None:
    assert batches_ahead(calls, workers, batches) == ahead
