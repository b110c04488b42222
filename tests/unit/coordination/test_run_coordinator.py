from __future__ import annotations

from raypipe.coordination.run_coordinator import MAX_WORKER_DEATHS, RunCoordinator, Usage
from raypipe.core.options import BreakerOptions

NONE = Usage()


def monitor(first: int = 3, window: int = 0, max_share: float = 0.5) -> RunCoordinator:
    return RunCoordinator(BreakerOptions(first=first, window=window, max_share=max_share))


def test_a_book_that_kills_its_worker_twice_is_found_and_its_neighbors_are_not() -> None:
    it = monitor()
    assert it.begin("s", ["a", "killer", "b"]).deaths == (0, 0, 0)  # the worker dies here
    assert any(it.begin("s", ["a", "killer", "b"]).deaths)  # retried: one by one now
    assert it.begin("s", ["a"], alone=True).deaths == (1,)
    it.end("s", ["a"])
    assert it.begin("s", ["killer"], alone=True).deaths == (1,)  # the worker dies again
    assert any(it.begin("s", ["a", "killer", "b"]).deaths)
    assert it.begin("s", ["a"], alone=True).deaths[0] < MAX_WORKER_DEATHS
    assert it.begin("s", ["killer"], alone=True).deaths[0] == MAX_WORKER_DEATHS
    assert it.begin("s", ["b"], alone=True).deaths[0] < MAX_WORKER_DEATHS


def test_marks_of_one_stage_do_not_count_in_another() -> None:
    it = monitor()
    it.begin("summarize", ["a"])
    assert it.begin("embed", ["a"]).deaths == (0,)


def test_breaks_when_the_first_books_fail_alike() -> None:
    it = monitor(first=3)
    it.report(0, ["denied", "denied"], 0, NONE)
    assert not it.stopped()
    it.report(0, ["denied"], 0, NONE)
    assert "first 3 books all failed alike (denied)" in it.stopped()
    assert it.begin("s", ["x"]).stop


def test_does_not_break_when_they_fail_differently_or_one_passes() -> None:
    different, passed = monitor(first=2), monitor(first=2)
    different.report(0, ["denied", "empty"], 0, NONE)
    passed.report(1, ["denied"] * 5, 0, NONE)
    assert not different.stopped()
    assert not passed.stopped()


def test_breaks_when_too_large_a_share_of_the_window_failed() -> None:
    it = monitor(first=0, window=10, max_share=0.5)
    it.report(10, [], 0, NONE)
    it.report(0, ["read"] * 5, 0, NONE)
    assert not it.stopped()  # half is not more than half
    it.report(0, ["text"], 0, NONE)
    assert "6 of the last 10 books failed" in it.stopped()


def test_the_first_reason_to_stop_stays() -> None:
    it = monitor()
    it.stop("Ctrl-C")
    it.stop("later")
    assert it.stopped() == "Ctrl-C"


def test_counts_what_was_reported() -> None:
    it = monitor()
    it.report(2, ["empty"], 3, Usage(model_calls=5, input_tokens=7, output_tokens=9))
    progress = it.progress()
    assert (progress.done, progress.failed, progress.left) == (2, 1, 3)
    assert (progress.model_calls, progress.input_tokens, progress.output_tokens) == (5, 7, 9)
