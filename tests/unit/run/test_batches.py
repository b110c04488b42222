from __future__ import annotations

import pytest

from raypipe.core.stage_options import Stages, SummarizeOptions
from raypipe.run.batches import task_limits, tasks_at_once


@pytest.mark.parametrize(("calls_per_worker", "share"), [(144, 100), (1, 50)])
def test_workers_that_wait_for_models_begin_with_all_books_of_a_small_run(
    calls_per_worker: int, share: int
) -> None:
    # Two workers: a worker that waits for models takes its half, a worker that computes a quarter.
    pool = SummarizeOptions(workers=2, calls_per_worker=calls_per_worker, books_per_task=1)
    stages = Stages(summarize=pool)
    tasks = task_limits(stages, 200)
    assert tasks_at_once(stages, tasks, None, 200) * tasks.books == share


def test_a_worker_has_few_books_of_a_large_run_at_once() -> None:
    pool = SummarizeOptions(workers=2, calls_per_worker=144, books_per_task=1)
    stages = Stages(summarize=pool)
    tasks = task_limits(stages, 100_000)
    assert tasks_at_once(stages, tasks, None, 100_000) * tasks.books < 2_500
