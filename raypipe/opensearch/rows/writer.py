"""Write the rows of one write task."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from raypipe.opensearch.bulk.error_policy import SinkError
from raypipe.opensearch.bulk.limiter import NoLimiter
from raypipe.opensearch.bulk.parallel import ParallelBulkWriter
from raypipe.opensearch.bulk.results import Counters, Rejected
from raypipe.opensearch.rows.documents import RowReader, RowSchema
from raypipe.opensearch.rows.index import OpenIndex, RowIndex
from raypipe.opensearch.rows.outcome import EXAMPLES, RejectedRow, TaskOutcome
from raypipe.opensearch.rows.strategy import RowStrategy

OnRejected = Callable[[list[RejectedRow]], Any]
"""Called on a worker with the rejected rows of a write task."""
UNAVAILABLE = "unavailable"
"""Kind of the documents that a server in trouble did not take in time."""
_OPTION = re.compile(
    r"(?<![\w./-])opensearch\.(?:connection\.)?(?=(?:endpoint|index|username|token|token_file|"
    r"password_env|profile|ca_certs|client_cert|client_key|verify_certs|max_bytes|max_docs)\b)"
)
"""The prefix of raypipe's options in messages: here they are arguments."""


@dataclass(frozen=True)
class RowWriter:
    """Writes the rows of a write task; small, and picklable to workers.

    Args:
        index: Where the rows go.
        schema: The columns with a meaning.
        on_rejected: Called with the rejected rows of a task; None to count them only.
    """

    index: RowIndex
    schema: RowSchema
    on_rejected: OnRejected | None = None

    def prepare(self) -> None:
        """Check the server; create the index if the length of its vectors is not needed.

        Raises:
            SetupError: The server or the index cannot be used.
        """
        if self.index.find() is not None:
            self.index.ensure_write_alias()
        elif not self.index.needs_dimension:
            self.index.open(None)

    def write(
        self,
        tables: Sequence[pa.Table],
        id_prefix: str | None,
        to_row: Callable[[pa.Table], dict[str, Any]],
    ) -> TaskOutcome:
        """Write the rows of one task, and pass the rejected ones to `on_rejected`.

        Args:
            tables: The rows.
            id_prefix: Prefix of generated ids, the same for each attempt of a task; None to let
                the server make the ids.
            to_row: Returns the row of a table with one row.

        Raises:
            SinkError: The index is deleted, refuses these credentials, or accepted nothing for
                `retry_budget_s`.
            SetupError: The server or a column cannot be used.
        """
        tables = [table for table in tables if table.num_rows]
        if not tables:
            return TaskOutcome()
        for table in tables:
            self.schema.check(table.schema)
        index = self.index.open(self.schema.find_dimension(tables))
        has_ids = self.schema.id_column is not None
        sends_ids = has_ids or (id_prefix is not None and not self.index.connection.is_serverless)
        reader = RowReader(tables, self.schema, id_prefix or "")
        strategy = RowStrategy(self.index.connection, index.physical, sends_ids)
        writer = ParallelBulkWriter(
            self.index.bulk_target(index), strategy, lambda number: NoLimiter()
        )
        rejected, counters = writer.write_stream(reader, reader.documents)
        counters.duplicates += reader.rows - reader.documents
        self._check_available(rejected, counters)
        self._report(rejected, reader, to_row, sends_ids)
        return _outcome(reader, counters, rejected, strategy, index, is_own=not has_ids)

    def check_complete(self, outcomes: Sequence[TaskOutcome]) -> None:
        """Check that all tasks wrote to one index, and that it is still there.

        Raises:
            SinkError: The index was deleted and created again, so that documents are missing.
        """
        uuids = {outcome.index_uuid for outcome in outcomes if outcome.index_uuid}
        if not uuids:
            return
        found = self.index.find()
        now = found.uuid if found is not None else ""
        if uuids != {now}:
            acknowledged = sum(outcome.counters.acknowledged for outcome in outcomes)
            raise SinkError(
                f"{self.index.label} was deleted during the write, so some or all of the "
                f"{acknowledged:,} acknowledged documents are lost; write the dataset again"
            )

    def _check_available(self, rejected: dict[str, Rejected], counters: Counters) -> None:
        """Raise `SinkError` if the server was in trouble: that is no fault of the rows."""
        reasons = [result.message for result in rejected.values() if result.kind == UNAVAILABLE]
        if reasons:
            raise SinkError(
                f"{self.index.label}: {len(reasons):,} documents of a write task are not written "
                f"({counters.acknowledged:,} are): {reasons[0]}"
            )

    def _report(
        self,
        rejected: dict[str, Rejected],
        reader: RowReader,
        to_row: Callable[[pa.Table], dict[str, Any]],
        sends_ids: bool,
    ) -> None:
        if self.on_rejected is not None and rejected:
            rows = [
                replace(_describe(result, sends_ids), row=to_row(reader.row_of(key)))
                for key, result in rejected.items()
            ]
            self.on_rejected(rows)


def in_own_words(error: Exception) -> str:
    """Return an error of the core with the sink's arguments in place of raypipe's options."""
    return _OPTION.sub("", str(error))


def _describe(result: Rejected, sends_ids: bool) -> RejectedRow:
    has_id = sends_ids and not result.doc_id.startswith("\0")
    doc_id = result.doc_id if has_id else ""
    return RejectedRow(doc_id, result.kind, result.message, result.retryable)


def _outcome(
    reader: RowReader,
    counters: Counters,
    rejected: dict[str, Rejected],
    strategy: RowStrategy,
    index: OpenIndex,
    *,
    is_own: bool,
) -> TaskOutcome:
    examples = [_describe(result, strategy.sends_ids) for result in rejected.values()][:EXAMPLES]
    # A generated id belongs to one row: an update shows that an earlier attempt has written it.
    repeated = counters.statuses["200"] if is_own and strategy.sends_ids else 0
    return TaskOutcome(
        rows=reader.rows,
        counters=counters,
        kinds=Counter(result.kind for result in rejected.values()),
        examples=tuple(examples),
        uncertain=strategy.uncertain,
        repeated=repeated,
        index_uuid=index.uuid,
    )
