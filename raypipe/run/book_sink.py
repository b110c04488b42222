"""Write documents and outcomes of books: documents part, bulk requests, then the ledger."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from itertools import groupby
from operator import attrgetter

from raypipe.coordination.counts import FailureExample, Usage
from raypipe.coordination.run_coordinator import MAX_EXAMPLES, Coordinator
from raypipe.coordination.shared_limiter import SharedLimiter
from raypipe.coordination.stage_times import StageTimes
from raypipe.core.book import Book, Document, Failure, Row
from raypipe.core.fingerprint import Recipe
from raypipe.core.per_process import PerProcess
from raypipe.ledger.checkpoint import Processed
from raypipe.ledger.facade import Ledger
from raypipe.ledger.failure_log import DEGRADED, FailedBook
from raypipe.opensearch.bulk.results import LEFT, Counters, Rejected
from raypipe.opensearch.index import Index
from raypipe.run.group_commit import GroupCommitter, GroupLimits
from raypipe.run.work import Work

_MAX_MESSAGE_CHARS = 500


class BookSink:
    """Write finished documents to the ledger and, in bulk requests, to OpenSearch.

    The books of all calls in a process are written in groups: a documents part, a bulk request and
    a ledger part for each. A book is recorded as processed only after the bulk response
    acknowledged its document. If the ledger cannot be written, all calls of the group raise: the
    index then knows more than the ledger, and the next run repairs that by writing the same
    documents again.

    Args:
        ledger: Where outcomes are recorded.
        recipe: Recipe of the run.
        run_seq: Number of the run; it is the version of every document.
        coordinator: The run's coordinator.
        index: The index; None stops at finished documents.
        limits: When a group is committed.
    """

    def __init__(
        self,
        ledger: Ledger,
        recipe: Recipe,
        run_seq: int,
        coordinator: Coordinator,
        index: Index | None,
        limits: GroupLimits,
    ) -> None:
        self._ledger = ledger
        self._recipe = recipe
        self._run_seq = run_seq
        self._coordinator = coordinator
        self._index = index
        self.limits = limits
        self._committer: PerProcess[GroupCommitter] = PerProcess()

    def write(self, books: int, decode: Callable[[], Sequence[Row]]) -> Counters:
        """Write books together with those of concurrent calls; see `GroupCommitter.write`."""
        return self._committer.get(self._create_committer).write(books, decode)

    def submit(self, rows: Sequence[Row]) -> Future[Counters]:
        """Write books in the background; see `GroupCommitter.submit`."""
        return self._committer.get(self._create_committer).submit(rows)

    def _create_committer(self) -> GroupCommitter:
        return GroupCommitter(self.commit, _size_of, self.limits, self._coordinator)

    def commit(self, rows: Sequence[Row], group: str, slot: str) -> Counters:
        """Write a group of books; return the counters of its bulk requests.

        Args:
            rows: The books with their documents and failures.
            group: Name of the group; different for each group of the run.
            slot: Name of the slot that this process uses for the group.

        Raises:
            SinkError: The index is deleted, or refuses these credentials.
            SetupError: The ledger cannot be written.
        """
        started = time.monotonic()
        finished = {row.book.book_id: row for row in rows if row.is_open and row.document}
        # A row with a part brought its document from an earlier run.
        new = [row.document for row in finished.values() if row.document and not row.book.part]
        by_recipe = attrgetter("document_recipe")  # a reused document may have an older recipe
        for _, documents in groupby(sorted(new, key=by_recipe), by_recipe):
            self._ledger.documents.append(documents, self._run_seq, group, 0)
        rejected, counters = self._write_bulk(finished.values(), slot)
        acknowledged = [row for book_id, row in finished.items() if book_id not in rejected]
        self._record_processed(acknowledged, group)
        failed = [self._failed_book(row.book, row.failure) for row in rows if row.failure]
        refused = self._rejected_books(rejected, finished)
        self._record_failures([*failed, *refused, *self._degraded_books(acknowledged)], group)
        left = sum(bool(row.left) for row in rows)
        left += sum(result.kind == LEFT for result in rejected.values())
        kinds = [book.kind for book in (*failed, *refused)]
        refusals = [book.kind for book in refused]
        examples = [
            FailureExample(0, book.key, book.stage, book.kind, book.message)
            for book in (*failed, *refused)[:MAX_EXAMPLES]
        ]
        failed_bytes = sum(row.book.size for row in rows if row.failure)
        usage = _usage(new, counters, failed_bytes)
        self._coordinator.report(len(acknowledged), kinds, left, usage, refusals, examples)
        seconds, times = time.monotonic() - started, StageTimes()
        times.add("write", seconds, len(rows))
        self._coordinator.finish("write", [], seconds, times=times)
        return counters

    def _write_bulk(self, rows: Iterable[Row], slot: str) -> tuple[dict[str, Rejected], Counters]:
        """Index documents; return the rejected ones by book id."""
        documents = [row.document for row in rows if row.document]
        if self._index is None or not documents:
            return {}, Counters()
        writer = self._coordinator.worker_id()
        bulk_writer = self._index.parallel_writer(
            self._run_seq,
            # A process that is started again has the slots of the process that died.
            lambda number: SharedLimiter(self._coordinator, f"{writer}-{slot}-{number}"),
            self._coordinator.stop_reason,
        )
        return bulk_writer.write(documents)

    def _record_processed(self, rows: Sequence[Row], group: str) -> None:
        """Record books as processed: the bulk response acknowledged their documents."""
        if not rows or self._index is None:
            return
        ref, now = self._index.ref, time.time()
        processed = [
            Processed(
                document.book_id,
                document.etag,
                document.document_recipe,
                ref.physical,
                ref.generation,
                self._run_seq,
                now,
            )
            for document in (row.document for row in rows)
            if document
        ]
        self._ledger.checkpoint.append(processed, self._run_seq, group, 0)

    def _record_failures(self, failed: Sequence[FailedBook], group: str) -> None:
        if failed:
            self._ledger.failures.append(failed, self._run_seq, group, 0)

    def _rejected_books(
        self, rejected: Mapping[str, Rejected], finished: Mapping[str, Row]
    ) -> list[FailedBook]:
        """Return the failures of rejected documents; documents left by a stop are none."""
        failed = []
        for book_id, result in rejected.items():
            if result.kind != LEFT:
                book = finished[book_id].book
                failure = _failure(book, "index", result.kind, result.message, result.retryable)
                failed.append(self._failed_book(book, failure))
        return failed

    def _degraded_books(self, acknowledged: Sequence[Row]) -> list[FailedBook]:
        """Return a failure for each new document with the fallback's summary."""
        failed = []
        for row in acknowledged:
            if row.document and row.document.degraded and not row.book.part:
                message = row.document.degraded
                failure = _failure(row.book, "summarize", DEGRADED, message, retryable=True)
                failed.append(self._failed_book(row.book, failure))
        return failed

    def _failed_book(self, book: Book, failure: Failure) -> FailedBook:
        return FailedBook(
            book.book_id,
            book.key,
            book.etag,
            self._recipe.document,
            failure.stage,
            failure.kind,
            failure.message,
            failure.retryable,
            failure.attempts,
            self._run_seq,
            time.time(),
        )


def sink_of(work: Work, coordinator: Coordinator, limits: GroupLimits) -> BookSink:
    """Return the sink of a run; an executor pickles it to its workers."""
    recipe = work.processing.recipe
    return BookSink(work.ledger, recipe, work.run_seq, coordinator, work.index, limits)


def _failure(book: Book, stage: str, kind: str, message: str, retryable: bool) -> Failure:
    text = f"{book.key}: {message}"[:_MAX_MESSAGE_CHARS]
    return Failure(stage, kind, text, retryable, book.attempts + 1)


def _size_of(row: Row) -> int:
    return row.document.estimate_bytes() if row.document else 0


def _usage(documents: Sequence[Document], counters: Counters, failed_bytes: int) -> Usage:
    return Usage(
        sum(document.model_calls for document in documents),
        sum(document.input_tokens for document in documents),
        sum(document.output_tokens for document in documents),
        counters.requests,
        counters.documents,
        sum(document.size for document in documents),
        failed_bytes,
        counters.retries,
    )
