"""Count how long books take in each stage, and keep the slowest books."""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from raypipe.core.book import Book
from raypipe.core.histogram import Histogram

UNIT_S = 1e-4
"""Seconds of the first bucket of a histogram; the last bucket ends after 4.5 days."""
MAX_SLOWEST = 20


@dataclass(frozen=True, slots=True, order=True)
class SlowBook:
    """A book that took long to read, clean and summarize.

    Args:
        seconds: Time of these stages together.
        key: Key of the book.
        size: Bytes of the book.
        stage: The stage that took the most of it.
    """

    seconds: float
    key: str
    size: int
    stage: str


@dataclass
class StageTimes:
    """Durations of books in each stage, and the slowest books; the size does not grow with them.

    Args:
        latencies: Seconds of a book in each stage.
        slowest: The slowest books, at most `MAX_SLOWEST`, in no order.
    """

    latencies: dict[str, Histogram] = field(default_factory=dict)
    slowest: list[SlowBook] = field(default_factory=list)

    def add(self, stage: str, seconds: float, books: int = 1) -> None:
        """Count books that each took this long in a stage."""
        if stage not in self.latencies:
            self.latencies[stage] = Histogram(UNIT_S)
        self.latencies[stage].add(seconds, books)

    def merge(self, other: StageTimes) -> None:
        """Add the durations and the slowest books of others; a repeated book counts once here."""
        for stage, histogram in other.latencies.items():
            self.latencies.setdefault(stage, Histogram(UNIT_S)).merge(histogram)
        if other.slowest:
            by_key: dict[str, SlowBook] = {}
            for book in sorted([*self.slowest, *other.slowest]):
                by_key[book.key] = book
            self.slowest = heapq.nlargest(MAX_SLOWEST, by_key.values())


class StageClock:
    """Collects the times of a process, until they travel with another message. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._times = StageTimes()
        self._longest: list[float] = []  # seconds of the slowest books so far, a heap

    def add(self, stage: str, seconds: float, books: int = 1) -> None:
        """Count books that each took this long in a stage."""
        with self._lock:
            self._times.add(stage, seconds, books)

    def add_book(self, book: Book, seconds: Mapping[str, float]) -> None:
        """Count a book with its seconds in each stage."""
        took = sum(seconds.values())
        with self._lock:
            for stage, part in seconds.items():
                self._times.add(stage, part)
            if len(self._longest) < MAX_SLOWEST:
                heapq.heappush(self._longest, took)
            elif took > self._longest[0]:
                heapq.heapreplace(self._longest, took)
            else:
                return
            slowest = max(seconds, key=lambda stage: seconds[stage])
            self._times.slowest.append(SlowBook(round(took, 4), book.key, book.size, slowest))

    def take(self) -> StageTimes | None:
        """Return what was collected since the last call; None for nothing."""
        with self._lock:
            times, self._times = self._times, StageTimes()
        return times if times.latencies else None


class Laps:
    """The seconds of a book in each stage, one stage after another.

    Args:
        stage: The first stage.
    """

    def __init__(self, stage: str) -> None:
        self.stage = stage
        self._seconds: dict[str, float] = {}
        self._began = time.monotonic()

    def begin(self, stage: str) -> None:
        """End the present stage and begin the next."""
        self.end()
        self.stage = stage

    def end(self) -> dict[str, float]:
        """End the present stage; return the seconds of each stage."""
        now = time.monotonic()
        self._seconds[self.stage] = self._seconds.get(self.stage, 0.0) + now - self._began
        self._began = now
        return self._seconds
