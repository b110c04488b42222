"""The documents of one write task, by as many bulk writers as pay."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from raypipe.coordination.run_coordinator import Coordinator
from raypipe.core.book import Document
from raypipe.opensearch.bulk.results import Counters, Rejected
from raypipe.opensearch.bulk.writer import BulkWriter
from raypipe.opensearch.index.config import IndexConfig, IndexRef

WRITERS = 2
"""Most bulk requests in flight of one write task."""
_LOOK_S = 0.2
"""A writer that waits for its turn looks so often whether it has come."""


@dataclass(frozen=True)
class SharedLimiter:
    """One writer's turn among those of all write tasks of the run.

    Args:
        marks: The run's monitor.
        who: Names the writer; a task that is tried again has the name, and the lane, of the first.
    """

    marks: Coordinator
    who: str

    def enter(self) -> None:
        """Wait until the others leave room."""
        while not self.marks.acquire_slot(self.who):
            time.sleep(_LOOK_S)

    def leave(self, *, refused: bool) -> None:
        """Make room."""
        self.marks.release_slot(self.who, refused=refused)


@dataclass(frozen=True)
class ParallelBulkWriter:
    """Bulk writers of one write task.

    Args:
        index: Where and how.
        handle: The index.
        run_seq: The run's number.
        marks: The run's monitor.
        task: The write task in the run.
    """

    index: IndexConfig
    handle: IndexRef
    run_seq: int
    marks: Coordinator
    task: int

    def write(self, documents: Sequence[Document]) -> tuple[dict[str, Rejected], Counters]:
        """Write documents, no id twice; returns those that the index does not have, by id.

        Raises:
            SinkError: The index is gone, or refuses these credentials.
        """
        # A second request in flight where there are documents for it: a node lets one wait for
        # its disk while it works on another.
        writers = WRITERS if len(documents) > self.index.max_docs else 1
        with ThreadPoolExecutor(writers) as pool:
            shares = (documents[at::writers] for at in range(writers))
            written = list(pool.map(self._share, range(writers), shares))
        rejected = {one.book_id: one for several, _ in written for one in several}
        return rejected, sum((counters for _, counters in written), Counters())

    def _share(self, at: int, documents: Sequence[Document]) -> tuple[list[Rejected], Counters]:
        lane = SharedLimiter(self.marks, f"{self.task}-{at}")
        stopped = self.marks.stop_reason
        writer = BulkWriter(self.index, self.handle, self.run_seq, lane=lane, stopped=stopped)
        results = (result for batch in writer.write(documents) for result in batch)
        return [one for one in results if isinstance(one, Rejected)], writer.counters
