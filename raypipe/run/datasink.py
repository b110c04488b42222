"""Write the blocks of a Ray dataset with a `BookSink`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ray.data import Datasink

from raypipe.core.book import from_table
from raypipe.opensearch.bulk.results import Counters
from raypipe.run.book_sink import BookSink

if TYPE_CHECKING:
    from ray.data._internal.execution.interfaces import TaskContext


class BookDatasink(Datasink[Counters]):
    """The last stage of the graph.

    Args:
        sink: Writes documents and outcomes.
    """

    def __init__(self, sink: BookSink) -> None:
        super().__init__()
        self._sink = sink

    def write(self, blocks: Iterable[Any], ctx: TaskContext) -> Counters:
        """Write the books of one task; return the counters of its bulk requests.

        Raises:
            SinkError: The index is deleted, or refuses these credentials.
            SetupError: The ledger cannot be written.
        """
        rows = [row for block in blocks for row in from_table(block)]
        return self._sink.write(rows, ctx.task_idx)
