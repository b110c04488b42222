"""All stages in one process: what each worker of a graph without further pools does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa

from raypipe.core.book import from_table
from raypipe.ledger.facade import RunResults
from raypipe.run.batches import BatchLimits
from raypipe.run.book_sink import BookSink
from raypipe.run.pipeline import Pipeline
from raypipe.run.stages.embed import Embed
from raypipe.run.stages.summarize import Summarize


class ProcessBooks:
    """Read, summarize, embed and write the books of a task.

    Args:
        summarize: Arguments of `Summarize`.
        embed: Arguments of `Embed`.
        sink: Writes documents and outcomes.
        limits: Limits of a batch, which a thread processes as a whole.
        tasks: Limits of a task.
        threads: Batches that are processed at the same time.
        shares_embedder: Whether threads may embed at the same time.
        read_back: Returns what the run has recorded so far.
    """

    def __init__(
        self,
        summarize: Mapping[str, Any],
        embed: Mapping[str, Any],
        sink: BookSink,
        limits: BatchLimits,
        tasks: BatchLimits,
        threads: int,
        *,
        shares_embedder: bool,
        read_back: Callable[[], RunResults],
    ) -> None:
        import ray

        # The tasks of a worker that died are repeated, and what it recorded stays.
        restarted = bool(ray.get_runtime_context().was_current_actor_reconstructed)
        results = read_back() if restarted else RunResults()
        self._recorded = results.done | results.failed
        self._pipeline = Pipeline(
            Summarize(**summarize),
            Embed(**embed),
            sink,
            limits,
            tasks,
            threads,
            shares_embedder=shares_embedder,
        )

    def __call__(self, tasks: pa.Table) -> pa.Table:
        """Return the number of books, once each is in the ledger or is left.

        Raises:
            SetupError: Every book would fail, or the ledger cannot be written.
            SinkError: The index is deleted, or refuses these credentials.
        """
        books = [row.book for row in from_table(tasks)]
        self._pipeline.run(book for book in books if book.book_id not in self._recorded)
        return pa.table({"books": [len(books)]})
