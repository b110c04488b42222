from __future__ import annotations

from raypipe.coordination.run_coordinator import MAX_WORKER_DEATHS, RunCoordinator, Usage
from raypipe.core.options import BreakerOptions

NO_USAGE = Usage()


def coordinator_with(first: int = 3, window: int = 0, max_share: float = 0.5) -> RunCoordinator:
    return RunCoordinator(BreakerOptions(first=first, window=window, max_share=max_share))


def test_a_book_that_kills_its_worker_twice_is_found_and_its_neighbors_are_not() -> None:
    coordinator = coordinator_with()
    batch = ["a", "killer", "b"]
    assert coordinator.start("s", batch).worker_deaths == (0, 0, 0)  # the worker dies here
    assert any(coordinator.start("s", batch).worker_deaths)  # the retry: one by one now
    assert coordinator.start("s", ["a"], isolated=True).worker_deaths == (1,)
    coordinator.finish("s", ["a"])
    # The worker dies again after this start.
    assert coordinator.start("s", ["killer"], isolated=True).worker_deaths == (1,)
    assert any(coordinator.start("s", batch).worker_deaths)
    assert coordinator.start("s", ["a"], isolated=True).worker_deaths[0] < MAX_WORKER_DEATHS
    assert coordinator.start("s", ["killer"], isolated=True).worker_deaths[0] == MAX_WORKER_DEATHS
    assert coordinator.start("s", ["b"], isolated=True).worker_deaths[0] < MAX_WORKER_DEATHS


def test_starts_in_one_stage_do_not_count_in_another() -> None:
    coordinator = coordinator_with()
    coordinator.start("summarize", ["a"])
    assert coordinator.start("embed", ["a"]).worker_deaths == (0,)


def test_run_stops_when_the_first_books_fail_alike() -> None:
    coordinator = coordinator_with(first=3)
    coordinator.report(0, ["denied", "denied"], 0, NO_USAGE)
    assert not coordinator.stop_reason()
    coordinator.report(0, ["denied"], 0, NO_USAGE)
    assert "first 3 books all failed alike (denied)" in coordinator.stop_reason()
    assert coordinator.start("s", ["x"]).stop_reason


def test_run_continues_when_the_first_books_fail_differently_or_one_succeeds() -> None:
    different, success = coordinator_with(first=2), coordinator_with(first=2)
    different.report(0, ["denied", "empty"], 0, NO_USAGE)
    success.report(1, ["denied"] * 5, 0, NO_USAGE)
    assert not different.stop_reason()
    assert not success.stop_reason()


def test_run_stops_when_too_large_a_share_of_the_window_failed() -> None:
    coordinator = coordinator_with(first=0, window=10, max_share=0.5)
    coordinator.report(10, [], 0, NO_USAGE)
    coordinator.report(0, ["read"] * 5, 0, NO_USAGE)
    assert not coordinator.stop_reason()  # half is not more than half
    coordinator.report(0, ["text"], 0, NO_USAGE)
    assert "6 of the last 10 books failed" in coordinator.stop_reason()


def test_the_first_stop_reason_is_kept() -> None:
    coordinator = coordinator_with()
    coordinator.stop("Ctrl-C")
    coordinator.stop("later")
    assert coordinator.stop_reason() == "Ctrl-C"


def test_progress_counts_reported_books_and_usage() -> None:
    coordinator = coordinator_with()
    coordinator.report(2, ["empty"], 3, Usage(model_calls=5, input_tokens=7, output_tokens=9))
    progress = coordinator.progress()
    assert (progress.done, progress.failed, progress.left) == (2, 1, 3)
    assert (progress.model_calls, progress.input_tokens, progress.output_tokens) == (5, 7, 9)
