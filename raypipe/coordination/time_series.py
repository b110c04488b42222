"""Keep the course of a run's numbers in a bounded number of points."""

from __future__ import annotations

from raypipe.coordination.counts import Progress
from raypipe.coordination.process_meter import ResourceUsage

MAX_POINTS = 400
FIRST_INTERVAL_S = 2.0
"""Seconds between two points; it doubles each time that half of the points are dropped. A point
takes the memory in use, whose reading costs a process of Ray 0.5 ms."""

COLUMNS = (
    "seconds",
    "done",
    "failed",
    "calls",
    "input_tokens",
    "output_tokens",
    "usd",
    "throttled",
    "in_flight",
    "tokens_per_minute",
    "memory_bytes",
)
"""Seconds since the first book; counts so far; then values of the moment, null if unknown."""


class TimeSeries:
    """The numbers of a run over time, at most `MAX_POINTS` of each.

    Attributes:
        every_s: Seconds between two points.
    """

    def __init__(self) -> None:
        self.every_s = FIRST_INTERVAL_S
        self._rows: list[tuple[float | None, ...]] = []

    def add(self, seconds: float, progress: Progress, usage: ResourceUsage | None) -> None:
        """Add a point.

        Args:
            seconds: Seconds since the first book.
            progress: The counts so far.
            usage: Memory and CPU in use; None if unknown.
        """
        if len(self._rows) >= MAX_POINTS:
            self._rows = self._rows[1::2]  # the newest point stays
            self.every_s *= 2
        self._rows.append(
            (
                round(seconds, 2),
                progress.done,
                progress.failed,
                progress.calls,
                progress.input_tokens,
                progress.output_tokens,
                round(progress.usd, 6),
                progress.throttled,
                progress.in_flight,
                progress.tokens_per_minute,
                usage.memory if usage else None,
            )
        )

    def describe(self) -> dict[str, list[float | None]]:
        """Return the values of each column."""
        columns: list[list[float | None]] = [[*values] for values in zip(*self._rows, strict=True)]
        return dict(zip(COLUMNS, columns or [[] for _ in COLUMNS], strict=True))
