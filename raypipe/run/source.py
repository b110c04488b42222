"""Read the pending books as a Ray Datasource: lazy batches, one Ray block each."""

from __future__ import annotations

import time
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

STOP_CHECK_INTERVAL_S = 0.5
"""Seconds between two checks whether the run stops; each check waits for the coordinator."""


class PendingBooksDatasource(Datasource):
    """The books of a run, split into batches.

    Ray merges the tables of a read task up to `target_max_block_size` bytes. With a limit of one
    byte each one-row table stays a separate block (measured with Ray 2.60).

    Args:
        books: The books, in order.
        limits: Limits of a batch.
        coordinator: The run's coordinator; the source stops when the run stops.
    """

    def __init__(
        self, books: Sequence[Book], limits: BatchLimits, coordinator: Coordinator
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._books = books
        self._limits = limits
        self._coordinator = coordinator

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
        return [self._read_task(self._books[at : at + BOOKS_PER_READ_TASK]) for at in starts]

    def read_tasks(self) -> int:
        """Return the number of read tasks."""
        return max(1, -(-len(self._books) // BOOKS_PER_READ_TASK))

    def _read_task(self, books: Sequence[Book]) -> ReadTask:
        limits, coordinator = self._limits, self._coordinator
        # Plain tuples pickle several times faster than dataclasses.
        rows = [(b.book_id, b.key, b.etag, b.size, b.modified, b.attempts, b.part) for b in books]

        def read() -> Iterator[pa.Table]:
            checked_at = 0.0
            for batch in split_into_batches([Book(*row) for row in rows], limits):
                if time.monotonic() - checked_at >= STOP_CHECK_INTERVAL_S:
                    if coordinator.stop_reason():
                        return  # the remaining books are left; the balance counts them
                    checked_at = time.monotonic()
                yield to_table(Row(book) for book in batch)

        return ReadTask(read, BlockMetadata(None, None, None, None))
