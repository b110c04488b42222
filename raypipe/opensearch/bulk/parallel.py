"""Write the documents of one task with several concurrent bulk writers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic

from raypipe.core.stop import StopCheck, never_stopped
from raypipe.opensearch.bulk.limiter import Limiter
from raypipe.opensearch.bulk.results import Counters, Rejected
from raypipe.opensearch.bulk.strategy import D, WriteStrategy
from raypipe.opensearch.bulk.target import BulkTarget
from raypipe.opensearch.bulk.writer import BulkWriter

WRITERS = 2
"""Most bulk requests in flight of one write task."""


@dataclass(frozen=True)
class ParallelBulkWriter(Generic[D]):
    """Write documents to one index with up to `WRITERS` requests in flight.

    Args:
        target: The index.
        strategy: Encodes documents and finds out which writes the index has.
        limiter_for: Returns the limiter of a writer, by its number in this task.
        stop_check: Returns the stop reason, or ''.
    """

    target: BulkTarget
    strategy: WriteStrategy[D]
    limiter_for: Callable[[int], Limiter]
    stop_check: StopCheck = never_stopped

    def write(self, documents: Sequence[D]) -> tuple[dict[str, Rejected], Counters]:
        """Write documents with different ids; return the rejected ones by id, and counters.

        Raises:
            SinkError: The index is deleted, blocked or refuses these credentials.
        """
        # A second request pays off where there are documents for it: the node processes one
        # while another waits for its disk.
        writers = WRITERS if len(documents) > self.target.max_docs else 1
        with ThreadPoolExecutor(writers) as pool:
            shares = (documents[number::writers] for number in range(writers))
            outcomes = list(pool.map(self._write_share, range(writers), shares))
        rejected = {result.doc_id: result for results, _ in outcomes for result in results}
        return rejected, sum((counters for _, counters in outcomes), Counters())

    def _write_share(self, number: int, documents: Sequence[D]) -> tuple[list[Rejected], Counters]:
        writer = BulkWriter(
            self.target,
            self.strategy,
            limiter=self.limiter_for(number),
            stop_check=self.stop_check,
        )
        results = (result for batch in writer.write(documents) for result in batch)
        return [result for result in results if isinstance(result, Rejected)], writer.counters
