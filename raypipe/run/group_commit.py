"""Commit the books of many concurrent calls together, so that bulk requests are large."""

from __future__ import annotations

import queue
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from raypipe.core.book import Row
from raypipe.opensearch.bulk.results import Counters

CHECK_INTERVAL_S = 0.1
"""Seconds between two checks whether more books may come; each check asks the coordinator."""

Commit = Callable[[Sequence[Row], str, str], Counters]
"""Writes the rows of a group, given the group's name and the name of its slot."""


class Arrivals(Protocol):
    """Knows how many books a run has; the run's coordinator."""

    def arrive(self, books: int, outcomes: Sequence[str]) -> bool:
        """Count books that have reached the sink; return whether more may come."""


@dataclass(frozen=True)
class GroupLimits:
    """When a group of books is committed: at the first limit that it reaches.

    Args:
        max_docs: Maximum number of books in a group. A larger batch is a group by itself.
        max_bytes: Maximum bytes of the bulk request of a group, estimated.
        flush_s: Seconds from the first book of a group to its commit.
        max_calls: Calls that may wait at the same time. A group has half of them, so that the next
            group grows while this group is written.
        slots: Groups that are committed at the same time.
    """

    max_docs: int = 1000
    max_bytes: int = 8 << 20
    flush_s: float = 3.0
    max_calls: int = 256
    slots: int = 2


@dataclass
class _Group:
    """Books that are committed together."""

    name: str
    started: float
    rows: list[Row] = field(default_factory=list)
    size: int = 0
    calls: int = 0
    closed: threading.Event = field(default_factory=threading.Event)
    """Set when the group takes no more books."""
    done: Future[Counters] = field(default_factory=Future)
    """The counters of the group's bulk requests, once its books are in the ledger."""


class GroupCommitter:
    """Collect the books of concurrent calls in groups, and commit each group once.

    The first call of a group has it committed, and the other calls wait for it. While all slots
    are in use, the next group grows up to its limits. `write` waits in the caller's thread;
    `submit` returns at once, for callers with fewer threads than books.

    Args:
        commit: Writes a group.
        size_of: Returns the estimated bytes of a row in a bulk request.
        limits: When a group is committed.
        arrivals: Counts the books of the run, so that the last group does not wait.
        clock: Monotonic seconds; replaced in tests.
    """

    def __init__(
        self,
        commit: Commit,
        size_of: Callable[[Row], int],
        limits: GroupLimits,
        arrivals: Arrivals,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._commit = commit
        self._size_of = size_of
        self._limits = limits
        self._arrivals = arrivals
        self._clock = clock
        self._changed = threading.Condition()
        self._open: _Group | None = None
        self._books = 0  # of all calls that were admitted and have not returned
        self._arrived: list[Row] = []  # books that were not reported yet
        self._groups = 0
        # A repeated call is in another group, so no name of an earlier process may come again.
        self._prefix = uuid.uuid4().hex[:8]
        self._slots: queue.SimpleQueue[str] = queue.SimpleQueue()
        for slot in range(limits.slots):
            self._slots.put(str(slot))
        # Arrow keeps 9 MB for each thread that has written a parquet part (measured with
        # pyarrow 26), so the threads of hundreds of calls must not write any.
        self._threads = ThreadPoolExecutor(limits.slots, "raypipe-commit")
        # A group waits for its books while each slot is in use.
        self._leaders = ThreadPoolExecutor(limits.slots + 1, "raypipe-group")

    def write(self, books: int, decode: Callable[[], Sequence[Row]]) -> Counters:
        """Write the books of a call; return once each is in the ledger, or is left.

        Args:
            books: Number of books.
            decode: Returns the rows of the books. It is called when there is memory for them.

        Returns:
            Counters of the bulk requests of the group for its first call, else zeros.

        Raises:
            SinkError: The index is deleted, or refuses these credentials.
            SetupError: The ledger cannot be written.
        """
        self._admit(books)
        try:
            group, is_first = self._join(decode())
            if is_first:
                self._lead(group)
            counters = group.done.result()
            return counters if is_first else Counters()
        finally:
            self._release(books)

    def submit(self, rows: Sequence[Row]) -> Future[Counters]:
        """Write the books of a call; return a future that ends with their group.

        It waits only while there is no memory for the rows. The future has the counters of the
        group, or the error that `write` raises.

        Args:
            rows: The books with their documents and failures.
        """
        self._admit(len(rows))
        try:
            group, is_first = self._join(rows)
        except BaseException:
            self._release(len(rows))
            raise
        group.done.add_done_callback(lambda _: self._release(len(rows)))
        if is_first:
            self._leaders.submit(self._lead, group)
        return group.done

    def _admit(self, books: int) -> None:
        """Wait until the rows of a call fit in memory: one group in each slot, and the next."""
        limit = self._limits.max_docs * (self._limits.slots + 1)
        with self._changed:
            self._changed.wait_for(lambda: not self._books or self._books + books <= limit)
            self._books += books

    def _release(self, books: int) -> None:
        with self._changed:
            self._books -= books
            self._changed.notify_all()

    def _join(self, rows: Sequence[Row]) -> tuple[_Group, bool]:
        """Add rows to the open group; return the group, and whether this call is its first."""
        group, is_first = self._add(rows)
        if not is_first and any(row.failure for row in rows):
            self._report_arrivals()  # at once, so that a run of bad books stops early
        return group, is_first

    def _add(self, rows: Sequence[Row]) -> tuple[_Group, bool]:
        limits, size = self._limits, sum(map(self._size_of, rows))
        with self._changed:
            group = self._open
            if group and (
                len(group.rows) + len(rows) > limits.max_docs
                or group.size + size > limits.max_bytes
            ):
                self._close(group)
                group = None
            is_first = group is None
            if group is None:
                self._groups += 1
                group = _Group(f"{self._prefix}-{self._groups:06d}", self._clock())
                self._open = group
            group.rows += rows
            self._arrived += rows
            group.size += size
            group.calls += 1
            is_full = len(group.rows) >= limits.max_docs or group.size >= limits.max_bytes
            if is_full or 2 * group.calls >= limits.max_calls:
                self._close(group)
            return group, is_first

    def _close(self, group: _Group) -> None:
        """Let the next call begin a new group."""
        group.closed.set()
        if self._open is group:
            self._open = None

    def _lead(self, group: _Group) -> None:
        """Wait until a group is complete, and commit it."""
        try:
            self._wait_for_books(group)
            with self._slot() as slot:
                with self._changed:
                    self._close(group)
                self._report_arrivals()  # the source waits for the books of a full group, too
                commit = self._threads.submit(self._commit, group.rows, group.name, slot)
                self._end(group, commit.result())
        except BaseException as error:  # every call of the group raises it
            self._end(group, error)

    def _end(self, group: _Group, result: Counters | BaseException) -> None:
        with self._changed:
            self._close(group)
        group.rows = []
        if isinstance(result, Counters):
            group.done.set_result(result)
        else:
            group.done.set_exception(result)

    @contextmanager
    def _slot(self) -> Iterator[str]:
        """Wait for a free slot; yield its name."""
        slot = self._slots.get()
        try:
            yield slot
        finally:
            self._slots.put(slot)

    def _wait_for_books(self, group: _Group) -> None:
        """Wait until a limit is reached, or no further book can join the group."""
        interval_s = min(CHECK_INTERVAL_S, self._limits.flush_s)
        while self._report_arrivals() and not group.closed.wait(interval_s):
            if self._clock() - group.started >= self._limits.flush_s:
                return

    def _report_arrivals(self) -> bool:
        """Tell the coordinator which books have come; return whether more may come."""
        with self._changed:
            rows, self._arrived = self._arrived, []
        outcomes = [row.failure.kind if row.failure else "" for row in rows if not row.left]
        return self._arrivals.arrive(len(rows), outcomes)
