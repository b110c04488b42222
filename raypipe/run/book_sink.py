"""The Ray Datasink: documents part, bulk, then the ledger, in this order, in each write task."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ray.data import Datasink

from raypipe.coordination.run_coordinator import Coordinator, Usage
from raypipe.coordination.shared_limiter import SharedLimiter
from raypipe.core.book import Book, Document, Failure, from_table
from raypipe.core.fingerprint import Recipe
from raypipe.ledger.checkpoint import Processed
from raypipe.ledger.failures import FailedBook
from raypipe.ledger.ledger import Ledger
from raypipe.opensearch.bulk.results import LEFT, Counters, Rejected
from raypipe.opensearch.index import Index

if TYPE_CHECKING:
    from ray.data._internal.execution.interfaces import TaskContext
    from ray.data.datasource.datasink import WriteResult

log = logging.getLogger(__name__)


class OpenSearchDatasink(Datasink[Counters]):
    """Write finished documents to the ledger and, in bulk, to OpenSearch.

    A book is processed when the bulk answered for it, and only then. If the ledger cannot be
    written the task raises: an index that knows more than the ledger is repaired by the next
    run, for writes can be repeated.

    Args:
        ledger: Where outcomes are recorded.
        recipe: The run's fingerprints.
        run_seq: The run's number; it is the version of every document.
        marks: The run's monitor.
        index: The index that the run writes to; None stops at finished documents.
    """

    def __init__(
        self,
        ledger: Ledger,
        recipe: Recipe,
        run_seq: int,
        marks: Coordinator,
        index: Index | None,
    ) -> None:
        super().__init__()
        self._ledger = ledger
        self._recipe = recipe
        self._run_seq = run_seq
        self._marks = marks
        self._index = index
        self.totals = Counters()

    def write(self, blocks: Iterable[Any], ctx: TaskContext) -> Counters:
        """Write the books of one task; returns the bulk counters.

        Raises:
            SinkError: The index is gone, or refuses these credentials.
            SetupError: The ledger cannot be written.
        """
        began = time.monotonic()
        rows = [row for block in blocks for row in from_table(block)]
        finished = {row.book.book_id: row for row in rows if row.open and row.document}
        documents = [row.document for row in finished.values() if row.document]
        fresh = [row.document for row in finished.values() if row.document and not row.book.part]
        if fresh:
            self._ledger.documents.append(fresh, self._run_seq, ctx.task_idx, 0)
        rejected, counters = self._write_bulk(documents, ctx.task_idx)
        refused = [
            self._failed(finished[one.doc_id].book, _refusal(one, finished[one.doc_id].book))
            for one in rejected.values()
            if one.kind != LEFT
        ]
        stages = [self._failed(row.book, row.failure) for row in rows if row.failure]
        degraded = [
            self._failed(finished[doc.book_id].book, _degraded(doc, finished[doc.book_id].book))
            for doc in fresh
            if doc.degraded and doc.book_id not in rejected
        ]
        acknowledged = [doc for doc in documents if doc.book_id not in rejected]
        self._record(acknowledged, [*stages, *refused, *degraded], ctx.task_idx)
        failures = [one.kind for one in (*stages, *refused)]
        left = sum(bool(row.left) for row in rows)
        left += sum(one.kind == LEFT for one in rejected.values())
        self._marks.report(len(acknowledged), failures, left, _usage(fresh))
        self._marks.finish("write", [], time.monotonic() - began)
        return counters

    def on_write_complete(self, write_result: WriteResult[Counters]) -> None:
        """Add up what the write tasks counted."""
        for counters in write_result.write_returns:
            self.totals = self.totals + counters

    def _write_bulk(
        self, documents: list[Document], task: int
    ) -> tuple[dict[str, Rejected], Counters]:
        if self._index is None or not documents:
            return {}, Counters()
        writer = self._index.parallel_writer(
            self._run_seq,
            # A repeated task has the slots of its first attempt.
            lambda number: SharedLimiter(self._marks, f"{task}-{number}"),
            self._marks.stop_reason,
        )
        return writer.write(documents)

    def _record(self, documents: list[Document], failed: list[FailedBook], task: int) -> None:
        if documents and self._index is not None:
            ref, now = self._index.ref, time.time()
            rows = [
                Processed(
                    doc.book_id,
                    doc.etag,
                    doc.document_recipe,
                    ref.physical,
                    ref.generation,
                    self._run_seq,
                    now,
                )
                for doc in documents
            ]
            self._ledger.checkpoint.append(rows, self._run_seq, task, 0)
        if failed:
            self._ledger.failures.append(failed, self._run_seq, task, 0)

    def _failed(self, book: Book, failure: Failure) -> FailedBook:
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


def _refusal(rejected: Rejected, book: Book) -> Failure:
    message = f"{book.key}: {rejected.message}"[:500]
    return Failure("index", rejected.kind, message, rejected.retryable, book.attempts + 1)


def _degraded(document: Document, book: Book) -> Failure:
    message = f"{book.key}: {document.degraded}"[:500]
    return Failure("summarize", "degraded", message, True, book.attempts + 1)


def _usage(documents: list[Document]) -> Usage:
    return Usage(
        sum(doc.model_calls for doc in documents),
        sum(doc.input_tokens for doc in documents),
        sum(doc.output_tokens for doc in documents),
    )
