from __future__ import annotations

from raypipe.coordination.counts import Usage
from raypipe.coordination.run_coordinator import MAX_WORKER_DEATHS, RunCoordinator
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
    coordinator.arrive(2, ["denied", "denied"])
    assert not coordinator.stop_reason()
    coordinator.arrive(1, ["denied"])
    assert "first 3 books all failed alike (denied)" in coordinator.stop_reason()
    assert coordinator.start("s", ["x"]).stop_reason


def test_run_continues_when_the_first_books_fail_differently_or_one_succeeds() -> None:
    different, success = coordinator_with(first=2), coordinator_with(first=2)
    different.arrive(2, ["denied", "empty"])
    success.arrive(6, ["", *["denied"] * 5])
    assert not different.stop_reason()
    assert not success.stop_reason()


def test_run_stops_when_too_large_a_share_of_the_window_failed() -> None:
    coordinator = coordinator_with(first=0, window=10, max_share=0.5)
    coordinator.arrive(10, [""] * 10)
    coordinator.arrive(5, ["read"] * 5)
    assert not coordinator.stop_reason()  # half is not more than half
    coordinator.arrive(1, ["text"])
    assert "6 of the last 10 books failed" in coordinator.stop_reason()


def test_run_stops_when_the_index_rejects_the_first_documents_alike() -> None:
    coordinator = coordinator_with(first=2)
    coordinator.arrive(3, ["", "", ""])
    coordinator.report(0, ["rejected"] * 2, 0, NO_USAGE, ["rejected"] * 2)
    assert "first 2 books all failed alike (rejected)" in coordinator.stop_reason()


def test_failed_books_of_a_group_are_not_taken_for_all_books() -> None:
    """Their failures are known before the documents of the same books are written."""
    coordinator = coordinator_with(first=3, window=4)
    coordinator.arrive(8, ["", "empty", "", "empty", "", "empty", "", "empty"])
    coordinator.report(4, ["empty"] * 4, 0, NO_USAGE)
    assert not coordinator.stop_reason()


def test_more_books_may_come_until_all_have_arrived_or_the_run_stops() -> None:
    coordinator = RunCoordinator(BreakerOptions(), books=3)
    assert coordinator.arrive(2, ["", ""])
    assert not coordinator.arrive(1, [""])
    assert RunCoordinator(BreakerOptions()).arrive(5, []), "the number is unknown"
    stopped = RunCoordinator(BreakerOptions(), books=3)
    stopped.stop("Ctrl-C")
    assert not stopped.arrive(1, [""])


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
