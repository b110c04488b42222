"""Read the pending books as a Ray Datasource: lazy batches, one Ray block each."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
from ray.data import Datasource
from ray.data.block import BlockMetadata
from ray.data.datasource import ReadTask

from raypipe.coordination.run_coordinator import Coordinator
from raypipe.core.book import Book, Row, to_table
from raypipe.run.batches import BatchLimits, split_into_batches

BOOKS_PER_READ_TASK = 5_000
"""Keys of one read task. They stay under the 1 MB from which Ray warns, and a million keys are
200 objects."""

CHECK_INTERVAL_S = 0.5
"""Seconds between two checks whether the run stops; each check waits for the coordinator."""


class PendingBooksDatasource(Datasource):
    """The books of a run, split into batches.

    Ray merges the tables of a read task up to `target_max_block_size` bytes. With a limit of one
    byte each one-row table stays a separate block (measured with Ray 2.60).

    Args:
        books: The books, in order.
        limits: Limits of a batch.
        coordinator: The run's coordinator; the source stops when the run stops.
        ahead: Batches that may be between the source and the sink. Without a limit Ray takes all
            batches at once, and the driver keeps 20 kB for each batch that waits (measured).
    """

    def __init__(
        self, books: Sequence[Book], limits: BatchLimits, coordinator: Coordinator, ahead: int
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._books = books
        self._limits = limits
        self._coordinator = coordinator
        self._ahead = ahead

    @property
    def batches(self) -> int:
        """Return the number of batches; more if books are too large for a full batch."""
        return -(-len(self._books) // self._limits.books)

    def get_name(self) -> str:
        """Return the operator's name on the dashboard."""
        return "PendingBooks"

    def estimate_inmemory_data_size(self) -> int | None:
        """Return None: keys are small, and Ray sizes nothing by them."""
        return None

    def get_read_tasks(
        self,
        parallelism: int,
        per_task_row_limit: int | None = None,
        data_context: Any = None,
    ) -> list[ReadTask]:
        """Return one read task for each `BOOKS_PER_READ_TASK` books."""
        starts = range(0, len(self._books), BOOKS_PER_READ_TASK)
        return [self._read_task(at) for at in starts]

    def read_tasks(self) -> int:
        """Return the number of read tasks."""
        return max(1, -(-len(self._books) // BOOKS_PER_READ_TASK))

    def _read_task(self, start: int) -> ReadTask:
        books = self._books[start : start + BOOKS_PER_READ_TASK]
        limits, coordinator, ahead = self._limits, self._coordinator, self._ahead
        # Plain tuples pickle several times faster than dataclasses.
        rows = [(b.book_id, b.key, b.etag, b.size, b.modified, b.attempts, b.part) for b in books]

        def read() -> Iterator[pa.Table]:
            pace = _Pace(coordinator, start, ahead)
            for batch in split_into_batches([Book(*row) for row in rows], limits):
                if not pace.wait_for_room(len(batch)):
                    return  # the remaining books are left; the balance counts them
                yield to_table(Row(book) for book in batch)

        return ReadTask(read, BlockMetadata(None, None, None, None))


class _Pace:
    """Keeps a read task near the books that reach the sink.

    Args:
        coordinator: Knows how many books have reached the sink, and whether the run stops.
        start: Books of the read tasks before.
        ahead: Batches that may be between the source and the sink.
    """

    def __init__(self, coordinator: Coordinator, start: int, ahead: int) -> None:
        self._coordinator = coordinator
        self._books = start
        self._ahead = ahead
        self._batches: deque[int] = deque()  # books up to the end of each batch under way
        self._checked_at = float("-inf")

    def wait_for_room(self, books: int) -> bool:
        """Wait until the next batch may start; return whether the run continues.

        Args:
            books: Number of books in the batch.
        """
        while not self._is_stopped():
            if len(self._batches) < self._ahead:
                self._books += books
                self._batches.append(self._books)
                return True
            time.sleep(CHECK_INTERVAL_S)
        return False

    def _is_stopped(self) -> bool:
        """Ask the coordinator, but not more often than every `CHECK_INTERVAL_S`."""
        if time.monotonic() - self._checked_at < CHECK_INTERVAL_S:
            return False
        if self._coordinator.stop_reason():
            return True
        arrived = self._coordinator.arrived()
        while self._batches and self._batches[0] <= arrived:
            self._batches.popleft()
        self._checked_at = time.monotonic()
        return False
