"""Times of books in stages: histograms, the slowest books, and the course of a run."""

from __future__ import annotations

import threading
from itertools import pairwise

import cloudpickle

from raypipe.coordination.counts import Progress
from raypipe.coordination.process_meter import ResourceUsage
from raypipe.coordination.run_coordinator import RunCoordinator
from raypipe.coordination.stage_times import MAX_SLOWEST, Laps, StageClock, StageTimes
from raypipe.coordination.time_series import COLUMNS, MAX_POINTS, TimeSeries
from raypipe.core.book import Book
from raypipe.core.options import BreakerOptions


def book(number: int) -> Book:
    return Book(f"id{number}", f"{number}.txt", "e", number, 0.0)


def test_the_slowest_books_are_kept_and_nothing_more() -> None:
    coordinator, clocks = RunCoordinator(BreakerOptions()), [StageClock() for _ in range(3)]
    for number in range(3_000):
        seconds = (number * 7919 % 3_000) / 100  # each value once, mixed
        clocks[number % 3].add_book(book(number), {"read": seconds / 4, "summarize": seconds})
        if number % 50 == 0:
            for clock in clocks:
                coordinator.finish(
                    "summarize", [], 1.0, 0, cloudpickle.loads(cloudpickle.dumps(clock.take()))
                )
    for clock in clocks:
        coordinator.finish("summarize", [], 1.0, 0, clock.take())
    times = coordinator.times()
    expected = [round((2_999 - rank) / 100 * 1.25, 4) for rank in range(MAX_SLOWEST)]
    assert [each.seconds for each in sorted(times.slowest, reverse=True)] == expected
    assert {each.stage for each in times.slowest} == {"summarize"}
    assert times.latencies["read"].count == times.latencies["summarize"].count == 3_000
    assert abs(times.latencies["summarize"].percentile(0.5) - 15) < 0.5


def test_a_book_that_is_repeated_is_listed_once() -> None:
    clocks, times = [StageClock(), StageClock()], StageTimes()
    for clock, seconds in zip(clocks, (5.0, 7.0), strict=True):
        clock.add_book(book(1), {"read": seconds})
        taken = clock.take()
        assert taken is not None
        times.merge(taken)
    assert [each.seconds for each in times.slowest] == [7.0]


def test_what_was_taken_is_not_taken_again() -> None:
    clock = StageClock()
    assert clock.take() is None
    clock.add("embed", 0.5, books=8)
    first = clock.take()
    assert first is not None
    assert first.latencies["embed"].count == 8
    assert clock.take() is None


def test_the_coordinator_returns_a_copy() -> None:
    coordinator, times = RunCoordinator(BreakerOptions()), StageTimes()
    times.add("write", 1.0)
    coordinator.finish("write", [], 1.0, times=times)
    coordinator.times().add("write", 1.0)
    assert coordinator.times().latencies["write"].count == 1


def test_threads_count_every_book() -> None:
    clock = StageClock()

    def work() -> None:
        for number in range(500):
            clock.add_book(book(number), {"read": 0.01})

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    taken = clock.take()
    assert taken is not None
    assert taken.latencies["read"].count == 2_000


def test_laps_add_up() -> None:
    laps = Laps("read")
    laps.begin("text")
    assert laps.stage == "text"
    laps.begin("read")
    seconds = laps.end()
    assert list(seconds) == ["read", "text"]
    assert all(value >= 0 for value in seconds.values())


def test_a_series_keeps_its_size_its_newest_point_and_the_whole_course() -> None:
    series, seconds = TimeSeries(), 0.0
    for number in range(5_000):
        series.add(seconds, Progress(done=number), ResourceUsage(number, 1.0))
        seconds += series.every_s
    columns = series.describe()
    assert set(columns) == set(COLUMNS)
    assert MAX_POINTS / 2 <= len(columns["seconds"]) <= MAX_POINTS
    assert columns["done"][-1] == 4_999
    times = [value or 0.0 for value in columns["seconds"]]
    assert times == sorted(times)
    gaps = [after - before for before, after in pairwise(times)]
    assert max(gaps) <= 2 * series.every_s
    assert TimeSeries().describe()["done"] == []
