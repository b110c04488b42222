"""The statistics of a run, `runs/<run_id>/statistics.json`, from which its report is drawn."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from raypipe.coordination.stage_times import MAX_SLOWEST, SlowBook
from raypipe.coordination.time_series import COLUMNS, MAX_POINTS
from raypipe.core.histogram import Histogram, read_histogram
from raypipe.core.json_record import make_record, read_object
from raypipe.ledger.run_records import FOLDER
from raypipe.state.store import State

FILE = "statistics.json"
VERSION = 1
SIZE_UNIT = 1.0
"""Bytes of the first bucket of the histogram of book sizes."""

_MAX_STAGES = 50
_STAGES = ("read", "text", "summarize", "embed", "write")
"""The stages, in the order in which a book passes them; workers report them in any order."""

Series = Mapping[str, Sequence[float | None]]
"""The values of each column of `raypipe.coordination.time_series`, as long as each other."""


@dataclass(frozen=True)
class RunStatistics:
    """The course of a run, and how long its books took.

    Args:
        at: When this was written, ISO 8601, UTC.
        ended: Whether the books are processed, or the run has stopped.
        series: Numbers over time.
        latencies: Seconds of a book in each stage.
        sizes: Bytes of the books that the run processes.
        slowest: The slowest books, the slowest first.
    """

    at: str = ""
    ended: bool = False
    series: Series = field(default_factory=lambda: {name: [] for name in COLUMNS})
    latencies: Mapping[str, Histogram] = field(default_factory=dict)
    sizes: Histogram = field(default_factory=lambda: Histogram(SIZE_UNIT))
    slowest: Sequence[SlowBook] = ()

    def column(self, name: str) -> list[float]:
        """Return the values of a column of the time series; 0 where a value is unknown."""
        return [value or 0.0 for value in self.series[name]]


def statistics_name(run_id: str) -> str:
    """Return the name of a run's statistics in its state."""
    return f"{FOLDER}/{run_id}/{FILE}"


def load_statistics(state: State, run_id: str) -> RunStatistics | None:
    """Return the statistics of a run; None if there are none, or if they are damaged.

    Raises:
        StateError: The state cannot be read.
    """
    data = state.get(statistics_name(run_id))
    try:
        return _read(read_object(data)) if data is not None else None
    except ValueError:
        return None


def _read(values: Mapping[str, Any]) -> RunStatistics:
    """Return the statistics from JSON values.

    Raises:
        ValueError: A value is missing or damaged.
    """
    try:
        latencies = sorted(list(values["latencies"].items())[:_MAX_STAGES], key=_place_of_stage)
        slowest = [make_record(SlowBook, book) for book in values["slowest"][:MAX_SLOWEST]]
        if not all(math.isfinite(book.seconds) for book in slowest):
            raise ValueError("a time is out of range")
        return RunStatistics(
            at=str(values["at"]),
            ended=values["ended"] is True,
            series=_read_series(values["series"]),
            latencies={str(stage): read_histogram(counts) for stage, counts in latencies},
            sizes=read_histogram(values["sizes"]),
            slowest=slowest,
        )
    except (AttributeError, KeyError, OverflowError, TypeError) as error:
        raise ValueError(f"the statistics are damaged: {error}") from None


def _place_of_stage(item: tuple[str, Any]) -> int:
    """Return where a book passes a stage; stages of another raypipe come last."""
    return _STAGES.index(item[0]) if item[0] in _STAGES else len(_STAGES)


def _read_series(columns: Mapping[str, Sequence[Any]]) -> Series:
    points = len(columns["seconds"])
    read: dict[str, list[float | None]] = {}
    for name in COLUMNS:  # a newer raypipe may have more, an older one fewer
        values = columns.get(name, [None] * points)
        is_number = all(
            value is None or (isinstance(value, int | float) and math.isfinite(value))
            for value in values
        )
        if len(values) != points or points > 2 * MAX_POINTS or not is_number:
            raise ValueError(f"the column {name} is damaged")
        read[name] = list(values)
    return read
