"""Pending books as a Ray Datasource: parcels leave lazily, one Ray block each."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from ray.data import Datasource
from ray.data.block import BlockMetadata
from ray.data.datasource import ReadTask

from raypipe.coordination.run_coordinator import Coordinator
from raypipe.core.book import Book, Row, to_table

BOOKS_PER_READ_TASK = 5_000
"""Keys that one read task carries: under the 1 MB from which Ray warns, and a million keys are
still only 200 objects."""

READY = 500
"""Fewest books in a parcel of such whose documents are finished already, where there are as many:
they wait for nothing but the index."""
ASK_EVERY_S = 0.5
"""Between two questions whether the run stops; each waits for the monitor."""


@dataclass(frozen=True)
class BatchLimits:
    """How large a parcel may be.

    Args:
        books: Most books.
        source_bytes: Most bytes of source objects; a larger book travels alone.
        ready: Most books whose summaries are finished already: they cost next to nothing.
    """

    books: int
    source_bytes: int
    ready: int = READY


class PendingBooksDatasource(Datasource):
    """The books of a run, cut into parcels.

    Ray merges what a read task yields up to `target_max_block_size`, by bytes; with that set to
    one byte each one-row table stays a block of its own (measured with Ray 2.60).
    """

    def __init__(self, books: Sequence[Book], size: BatchLimits, marks: Coordinator) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._books = books
        self._size = size
        self._marks = marks

    def get_name(self) -> str:
        """Return the operator's name on the dashboard."""
        return "PendingBooksDatasource"

    def estimate_inmemory_data_size(self) -> int | None:
        """Return None: keys are small and Ray need not size anything by them."""
        return None

    def get_read_tasks(
        self,
        parallelism: int,
        per_task_row_limit: int | None = None,
        data_context: Any = None,
    ) -> list[ReadTask]:
        """Return one task for each `BOOKS_PER_READ_TASK` books."""
        starts = range(0, len(self._books), BOOKS_PER_READ_TASK)
        return [self._task(self._books[at : at + BOOKS_PER_READ_TASK]) for at in starts]

    def tasks(self) -> int:
        """Return how many read tasks there are."""
        return max(1, -(-len(self._books) // BOOKS_PER_READ_TASK))

    def _task(self, books: Sequence[Book]) -> ReadTask:
        size, marks = self._size, self._marks
        # Plain tuples pickle several times faster than dataclasses.
        rows = [(b.book_id, b.key, b.etag, b.size, b.modified, b.attempts, b.part) for b in books]

        def read() -> Iterator[pa.Table]:
            asked = 0.0
            for parcel in split_into_batches([Book(*row) for row in rows], size):
                if time.monotonic() - asked >= ASK_EVERY_S:
                    if marks.stop_reason():
                        return  # what is not handed out is left: the balance counts it
                    asked = time.monotonic()
                yield to_table(Row(book) for book in parcel)

        return ReadTask(read, BlockMetadata(None, None, None, None))


def split_into_batches(books: Sequence[Book], size: BatchLimits) -> Iterator[list[Book]]:
    """Yield the books in order, in parcels within the size."""
    parcel: list[Book] = []
    total = 0
    for book in books:
        most = size.ready if book.part else size.books
        weight = 0 if book.part else book.size
        mixed = bool(parcel) and bool(parcel[0].part) != bool(book.part)
        if parcel and (len(parcel) >= most or total + weight > size.source_bytes or mixed):
            yield parcel
            parcel, total = [], 0
        parcel.append(book)
        total += weight
    if parcel:
        yield parcel
