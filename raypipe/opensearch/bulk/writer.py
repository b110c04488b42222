"""Write documents in bulk requests bounded by bytes and documents, and retry failed ones."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Generic

from raypipe.core.retry import full_jitter
from raypipe.core.stop import StopCheck, never_stopped
from raypipe.opensearch.bulk.batch_size import AdaptiveBatchSize
from raypipe.opensearch.bulk.item import BulkItem
from raypipe.opensearch.bulk.limiter import Limiter, NoLimiter
from raypipe.opensearch.bulk.prefetch import EncodePrefetcher
from raypipe.opensearch.bulk.request import BulkSender
from raypipe.opensearch.bulk.results import LEFT, Counters, Rejected, Result
from raypipe.opensearch.bulk.retry_budget import RetryBudget
from raypipe.opensearch.bulk.settle import BatchSettler, Settlement
from raypipe.opensearch.bulk.strategy import D, WriteStrategy
from raypipe.opensearch.bulk.target import BulkTarget

log = logging.getLogger(__name__)


class BulkWriter(Generic[D]):
    """Write documents to one index, one bulk request at a time; use one writer a thread.

    Args:
        target: The index.
        strategy: Encodes documents and finds out which writes the index has.
        limiter: Asked before each request; None if there is no other writer.
        stop_check: Returns the stop reason, or ''. Documents that the server does not accept
            within a few seconds of a stop are `Rejected` with the kind `LEFT`.
        sleep: Waits that many seconds; replaced in tests.
        jitter: Returns the seconds to wait before retry n; replaced in tests.
        clock: Monotonic seconds; replaced in tests.
    """

    def __init__(
        self,
        target: BulkTarget,
        strategy: WriteStrategy[D],
        *,
        limiter: Limiter | None = None,
        stop_check: StopCheck = never_stopped,
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[int], float] = full_jitter,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.counters = Counters()
        self._target = target
        self._strategy = strategy
        self._jitter, self._clock = jitter, clock
        self._budget = RetryBudget(target.retry_budget_s, stop_check, sleep, clock)
        self._batch_size = AdaptiveBatchSize(target.max_bytes)
        sender = BulkSender(target, strategy, limiter or NoLimiter(), self.counters)
        self._settler = BatchSettler(
            target, strategy, sender, self._batch_size, self._budget, self.counters, clock
        )

    def write(self, documents: Iterable[D]) -> Iterator[list[Result]]:
        """Write documents; yield the results of each request as its response arrives.

        Memory holds the lines of two requests, however many documents are given. Of documents
        with the same id the last one is written. Documents with a transient failure are sent
        with the next request, after a wait. When the server accepts nothing for
        `retry_budget_s`, they and all remaining documents are
        `Rejected(kind="unavailable", retryable=True)`.

        Raises:
            SinkError: The index is deleted, blocked or refuses these credentials.
        """
        fresh = EncodePrefetcher(
            documents,
            encode=self._strategy.encode,
            id_of=self._strategy.id_of,
            max_docs=self._target.max_docs,
            max_bytes=self._batch_size.bytes,
        )
        try:
            yield from self._write(fresh)
        finally:
            fresh.close()

    def _write(self, fresh: EncodePrefetcher[D]) -> Iterator[list[Result]]:
        queue: deque[BulkItem] = deque()
        last_success = self._clock()
        while True:
            batch, results = self._next_batch(queue, fresh)
            if not batch and not results:
                return
            settlement = self._send(batch)
            now = self._clock()
            last_success = now if settlement.results else last_success
            waiting, expired = self._split_by_budget(settlement.retries, now)
            queue.extendleft(reversed(waiting))
            results += [*settlement.results, *(self._give_up(item.doc_id) for item in expired)]
            yield self._count(results)
            if any(last_success <= item.failed_at for item in expired):
                yield from self._give_up_rest(queue, fresh)
                return

    def _next_batch(
        self, queue: deque[BulkItem], fresh: EncodePrefetcher[D]
    ) -> tuple[list[BulkItem], list[Result]]:
        """Return the documents of the next request, and those that no request can carry."""
        batch: dict[str, BulkItem] = {}
        rejected: list[Result] = []
        size = 0
        while len(batch) + len(rejected) < self._target.max_docs:
            item = queue.popleft() if queue else fresh.next()
            if item is None:
                break
            if isinstance(item, Rejected):
                rejected.append(item)
                continue
            older = batch.get(item.doc_id)
            new_size = size + len(item.lines) - (len(older.lines) if older else 0)
            if batch and new_size > self._batch_size.bytes:
                queue.appendleft(item)
                break
            self.counters.duplicates += batch.pop(item.doc_id, None) is not None
            batch[item.doc_id] = item
            size = new_size
        fresh.prepare()
        return list(batch.values()), rejected

    def _send(self, batch: list[BulkItem]) -> Settlement:
        """Send a batch after the wait that its retries require."""
        if not batch:
            return Settlement()
        tries = max(item.attempts for item in batch)
        if tries:
            self._wait(batch, tries)
        return self._settler.send(batch)

    def _wait(self, batch: list[BulkItem], tries: int) -> None:
        first_failure = min(item.failed_at for item in batch if item.attempts)
        left = self._budget.limit_s() - (self._clock() - first_failure)
        delay = max(0.0, min(max(self._jitter(tries), self._batch_size.take_wait()), left))
        retries = sum(item.attempts > 0 for item in batch)
        log.log(
            logging.WARNING if tries > 2 else logging.INFO,
            "OpenSearch at %s: retrying %d documents in %.1f s, attempt %d (%s)",
            self._target.endpoint,
            retries,
            delay,
            tries + 1,
            self._settler.last_trouble,
        )
        self._budget.sleep(delay)

    def _split_by_budget(
        self, retries: list[BulkItem], now: float
    ) -> tuple[list[BulkItem], list[BulkItem]]:
        """Return the documents to send again, and those whose retry budget is used up."""
        limit_s = self._budget.limit_s() if retries else 0.0
        waiting: list[BulkItem] = []
        expired: list[BulkItem] = []
        for item in retries:
            is_expired = item.attempts and now - item.failed_at >= limit_s
            (expired if is_expired else waiting).append(item)
        return waiting, expired

    def _give_up_rest(
        self, queue: deque[BulkItem], fresh: EncodePrefetcher[D]
    ) -> Iterator[list[Result]]:
        """Yield a rejection for all remaining documents."""
        chunk: list[Result] = [self._give_up(item.doc_id) for item in queue]
        for doc_id in fresh.remaining_ids():
            chunk.append(self._give_up(doc_id))
            if len(chunk) >= self._target.max_docs:
                yield self._count(chunk)
                chunk = []
        if chunk:
            yield self._count(chunk)

    def _give_up(self, doc_id: str) -> Rejected:
        trouble = self._settler.last_trouble
        if self._budget.is_stopped():
            return Rejected(doc_id, LEFT, f"not written before the stop ({trouble})", True)
        budget = self._target.retry_budget_s
        server = f"OpenSearch at {self._target.endpoint}"
        message = f"{server} accepted nothing for {budget:g} s ({trouble}); run again later"
        return Rejected(doc_id, "unavailable", message, retryable=True)

    def _count(self, results: list[Result]) -> list[Result]:
        self.counters.count(results)
        return results
