"""Write the statistics of a run to its state, for its report."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raypipe.coordination.counts import Progress
from raypipe.coordination.progress import Snapshot
from raypipe.coordination.stage_times import StageTimes
from raypipe.coordination.time_series import TimeSeries
from raypipe.core.histogram import Histogram
from raypipe.ledger.run_statistics import SIZE_UNIT, VERSION, statistics_name
from raypipe.run.forecast import sizes_of
from raypipe.run.state_file import StateFile
from raypipe.run.work import Work

WRITE_EVERY_S = 30.0
"""Seconds between two writes, at least; the report of a run that works lags by it."""


class StatisticsFile:
    """Writes `runs/<run_id>/statistics.json` while books are processed, and marks it ended.

    Its size does not grow with the run: a time series of at most 400 points, a histogram for each
    stage, and the slowest 20 books.

    Args:
        work: The books, and the state.
        read_times: Returns the times of books in each stage so far.
        clock: Monotonic seconds; replaced in tests.
    """

    def __init__(
        self,
        work: Work,
        read_times: Callable[[], StageTimes],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._run_id = work.run_id
        self._read_times = read_times
        self._clock = clock
        self._began = self._written_at = clock()
        self._began_at = _now()
        self._series = TimeSeries()
        self._series.add(0.0, Progress(), None)  # a short run has a course, too
        self._sizes = count_sizes(sizes_of(work.books))
        self._file = StateFile(work.ledger.state, statistics_name(work.run_id))

    @property
    def every_s(self) -> float:
        """Return the seconds between two points of the time series."""
        return self._series.every_s

    def show(self, snapshot: Snapshot) -> None:
        """Add a point to the time series, and write the file if it is due."""
        now = self._clock()
        self._series.add(now - self._began, snapshot.progress, snapshot.usage)
        if snapshot.ended or now - self._written_at >= WRITE_EVERY_S:
            values = self._describe(ended=snapshot.ended)
            if self._file.write(values, is_last=snapshot.ended, indent=None):
                self._written_at = now

    def _describe(self, *, ended: bool) -> dict[str, Any]:
        times = self._read_times()
        return {
            "version": VERSION,
            "run_id": self._run_id,
            "began_at": self._began_at,
            "at": _now(),
            "ended": ended,
            "series": self._series.describe(),
            "latencies": {
                stage: histogram.describe() for stage, histogram in times.latencies.items()
            },
            "sizes": self._sizes.describe(),
            "slowest": [asdict(book) for book in sorted(times.slowest, reverse=True)],
        }


def count_sizes(sizes: NDArray[np.int64]) -> Histogram:
    """Return the histogram of books by their bytes.

    Args:
        sizes: Bytes of each book, shape (books,).
    """
    histogram = Histogram(SIZE_UNIT)
    distinct, books = np.unique(sizes, return_counts=True)
    for size, number in zip(distinct.tolist(), books.tolist(), strict=True):
        histogram.add(float(size), number)
    return histogram


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
