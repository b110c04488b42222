"""Groups of books: their limits, their timer, and what happens to the calls that wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from raypipe.core.book import Book, Failure, Row
from raypipe.core.errors import SetupError
from raypipe.opensearch.bulk.results import Counters
from raypipe.run.group_commit import GroupCommitter, GroupLimits

SOON_S = 10.0
NEVER_S = 3_600.0


def rows(*names: str) -> list[Row]:
    return [Row(Book(name, f"{name}.txt", "etag", 10, 0.0)) for name in names]


@dataclass
class Arrivals:
    """Counts books as the coordinator does."""

    books: int = 1_000_000
    arrived: int = 0
    outcomes: list[str] = field(default_factory=list)

    def arrive(self, books: int, outcomes: Sequence[str]) -> bool:
        self.arrived += books
        self.outcomes += outcomes
        return self.arrived < self.books


@dataclass
class Sink:
    """Commits groups to memory; `gate` holds commits back."""

    gate: threading.Event = field(default_factory=threading.Event)
    groups: list[tuple[list[str], str, str]] = field(default_factory=list)
    error: Exception | None = None

    def __post_init__(self) -> None:
        self.gate.set()

    def commit(self, group: Sequence[Row], name: str, slot: str) -> Counters:
        assert self.gate.wait(SOON_S)
        if self.error is not None:
            raise self.error
        self.groups.append(([row.book.book_id for row in group], name, slot))
        return Counters(requests=1)

    def sizes(self) -> list[int]:
        return [len(books) for books, _, _ in self.groups]


class Calls:
    """Calls of a committer in threads."""

    def __init__(self, sink: Sink, limits: GroupLimits, arrivals: Arrivals | None = None) -> None:
        self.decoded: list[str] = []
        self.rows: dict[str, Row] = {}
        self._committer = GroupCommitter(
            sink.commit, lambda row: row.book.size, limits, arrivals or Arrivals()
        )
        self._pool = ThreadPoolExecutor(64)

    def write(self, *names: str) -> Future[Counters]:
        future = self._pool.submit(self._committer.write, len(names), lambda: self._decode(names))
        time.sleep(0.01)  # so that calls arrive in this order
        return future

    def _decode(self, names: Sequence[str]) -> list[Row]:
        self.decoded += names
        return [self.rows.get(name) or rows(name)[0] for name in names]


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SOON_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_calls_are_committed_together_when_the_group_is_full() -> None:
    sink = Sink()
    calls = Calls(sink, GroupLimits(max_docs=4, flush_s=NEVER_S))
    futures = [calls.write("a", "b"), calls.write("c"), calls.write("d")]
    requests = [future.result(SOON_S).requests for future in futures]
    assert [books for books, _, _ in sink.groups] == [["a", "b", "c", "d"]]
    assert requests == [1, 0, 0], "the counters of a group are returned once"


def test_a_batch_that_does_not_fit_begins_the_next_group() -> None:
    sink = Sink()
    calls = Calls(sink, GroupLimits(max_docs=4, flush_s=NEVER_S))
    first, second = calls.write("a", "b", "c"), calls.write("d", "e", "f", "g")
    first.result(SOON_S), second.result(SOON_S)
    assert sorted(sink.sizes()) == [3, 4]


def test_a_batch_larger_than_a_group_is_a_group_by_itself() -> None:
    sink = Sink()
    Calls(sink, GroupLimits(max_docs=2, flush_s=NEVER_S)).write(*"abcde").result(SOON_S)
    assert sink.sizes() == [5]


def test_bytes_limit_a_group() -> None:
    sink = Sink()
    calls = Calls(sink, GroupLimits(max_bytes=20, flush_s=NEVER_S))
    for future in [calls.write("a"), calls.write("b")]:
        future.result(SOON_S)
    assert sink.sizes() == [2]


def test_a_group_is_committed_after_flush_s() -> None:
    sink = Sink()
    started = time.monotonic()
    Calls(sink, GroupLimits(flush_s=0.3)).write("a").result(SOON_S)
    assert 0.3 <= time.monotonic() - started < SOON_S


def test_the_last_group_of_a_run_does_not_wait() -> None:
    sink = Sink()
    calls = Calls(sink, GroupLimits(flush_s=NEVER_S), Arrivals(books=3))
    futures = [calls.write("a"), calls.write("b", "c")]
    for future in futures:
        future.result(SOON_S)
    assert sink.sizes() == [3]


def test_a_group_has_half_of_the_calls() -> None:
    sink = Sink()
    calls = Calls(sink, GroupLimits(flush_s=NEVER_S, max_calls=4))
    for future in [calls.write(name) for name in "abcd"]:
        future.result(SOON_S)
    assert sink.sizes() == [2, 2]


def test_a_group_grows_while_all_slots_are_in_use() -> None:
    sink = Sink()
    sink.gate.clear()
    calls = Calls(sink, GroupLimits(max_docs=4, flush_s=0.05, slots=1))
    first = calls.write("a")
    time.sleep(0.3)  # the first group is being committed, the timer of the next ends meanwhile
    others = [calls.write("b"), calls.write("c")]
    time.sleep(0.3)
    others.append(calls.write("d"))
    sink.gate.set()
    for future in [first, *others]:
        future.result(SOON_S)
    assert sink.sizes() == [1, 3]
    assert {slot for _, _, slot in sink.groups} == {"0"}


def test_names_of_groups_differ_between_processes() -> None:
    sink = Sink()
    for _ in range(2):  # a process that is started again has a new committer
        Calls(sink, GroupLimits(flush_s=0.0)).write("a").result(SOON_S)
    names = {name for _, name, _ in sink.groups}
    assert len(names) == 2


def test_every_call_of_a_group_gets_its_error() -> None:
    sink = Sink(error=SetupError("the disk is full"))
    calls = Calls(sink, GroupLimits(max_docs=2, flush_s=NEVER_S))
    for future in [calls.write("a"), calls.write("b")]:
        with pytest.raises(SetupError, match="the disk is full"):
            future.result(SOON_S)


def test_a_run_that_ended_releases_the_calls() -> None:
    class Ended(Arrivals):
        def arrive(self, books: int, outcomes: Sequence[str]) -> bool:
            raise SetupError("the run has ended")

    calls = Calls(Sink(), GroupLimits(flush_s=NEVER_S), Ended())
    for future in [calls.write("a"), calls.write("b")]:
        with pytest.raises(SetupError, match="the run has ended"):
            future.result(SOON_S)


def test_failed_books_are_reported_before_their_group_is_written() -> None:
    sink, arrivals = Sink(), Arrivals()
    sink.gate.clear()
    calls = Calls(sink, GroupLimits(flush_s=NEVER_S), arrivals)
    failure = Failure("read", "empty", "why", retryable=False, attempts=1)
    calls.rows["bad"] = Row(rows("bad")[0].book, failure=failure)
    calls.rows["left"] = Row(rows("left")[0].book, left="stopped")
    future = calls.write("good", "bad", "left")
    wait_for(lambda: arrivals.arrived == 3)
    assert (arrivals.outcomes, sink.groups) == (["", "empty"], [])
    arrivals.books = 0
    sink.gate.set()
    future.result(SOON_S)


def test_rows_are_decoded_only_when_memory_is_free() -> None:
    sink = Sink()
    sink.gate.clear()
    calls = Calls(sink, GroupLimits(max_docs=2, flush_s=NEVER_S, slots=1))
    futures = [calls.write(f"{number}a", f"{number}b") for number in range(5)]
    wait_for(lambda: len(calls.decoded) == 4)
    time.sleep(0.1)
    assert len(calls.decoded) == 4, "a group at work, and the next"
    sink.gate.set()
    for future in futures:
        future.result(SOON_S)
    assert sorted(sink.sizes()) == [2] * 5


def test_a_batch_larger_than_memory_allows_is_written_alone() -> None:
    sink = Sink()
    calls = Calls(sink, GroupLimits(max_docs=1, flush_s=NEVER_S, slots=1))
    for future in [calls.write(*"abcdefgh"), calls.write(*"ijklmnop")]:
        future.result(SOON_S)
    assert sink.sizes() == [8, 8]


def test_as_many_threads_as_slots_commit_groups() -> None:
    threads: set[int] = set()

    def commit(group: Sequence[Row], name: str, slot: str) -> Counters:
        threads.add(threading.get_ident())
        return Counters()

    limits = GroupLimits(max_docs=1, slots=2)
    committer = GroupCommitter(commit, lambda row: 1, limits, Arrivals())
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: committer.write(1, lambda: rows(name)), "abcdefghijklmnop"))
    assert 1 <= len(threads) <= 2


def test_the_books_of_a_full_group_are_reported_before_its_commit() -> None:
    arrivals, sink = Arrivals(), Sink()
    sink.gate.clear()
    calls = Calls(sink, GroupLimits(max_docs=4, flush_s=NEVER_S), arrivals)
    futures = [calls.write("a", "b"), calls.write("c", "d")]
    wait_for(lambda: arrivals.arrived == 4)
    sink.gate.set()
    for future in futures:
        future.result(SOON_S)
