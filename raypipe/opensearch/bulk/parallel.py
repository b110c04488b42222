"""Write the documents of one task with several concurrent bulk writers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
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
        writers = self._writers_for(len(documents))
        return self._write_shares([documents[number::writers] for number in range(writers)])

    def write_stream(
        self, documents: Iterable[D], count: int
    ) -> tuple[dict[str, Rejected], Counters]:
        """Write documents as they are made; see `write`.

        Args:
            documents: Documents with different ids. Memory holds only the next ones of each
                request in flight.
            count: About how many they are.

        Raises:
            SinkError: The index is deleted, blocked or refuses these credentials.
        """
        writers = self._writers_for(count)
        return self._write_shares([_SharedIterator(documents)] * writers)

    def _writers_for(self, count: int) -> int:
        # A second request pays off where there are documents for it: the node processes one
        # while another waits for its disk.
        return WRITERS if count > self.target.max_docs else 1

    def _write_shares(self, shares: Sequence[Iterable[D]]) -> tuple[dict[str, Rejected], Counters]:
        with ThreadPoolExecutor(len(shares)) as pool:
            outcomes = list(pool.map(self._write_share, range(len(shares)), shares))
        rejected = {result.doc_id: result for results, _ in outcomes for result in results}
        return rejected, sum((counters for _, counters in outcomes), Counters())

    def _write_share(self, number: int, documents: Iterable[D]) -> tuple[list[Rejected], Counters]:
        writer = BulkWriter(
            self.target,
            self.strategy,
            limiter=self.limiter_for(number),
            stop_check=self.stop_check,
        )
        results = (result for batch in writer.write(documents) for result in batch)
        return [result for result in results if isinstance(result, Rejected)], writer.counters


class _SharedIterator(Generic[D]):
    """An iterator whose items several threads take, each item once."""

    def __init__(self, items: Iterable[D]) -> None:
        self._items = iter(items)
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[D]:
        return self

    def __next__(self) -> D:
        with self._lock:
            return next(self._items)
