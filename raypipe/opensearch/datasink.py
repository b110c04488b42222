"""Write any Ray Dataset to OpenSearch: `Dataset.write_datasink(OpenSearchDatasink(...))`."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from ray.data import Datasink
from ray.data.block import BlockAccessor
from ray.exceptions import UserCodeException

from raypipe.core.errors import SetupError
from raypipe.opensearch.bulk.batch_size import MEBIBYTE
from raypipe.opensearch.bulk.error_policy import SinkError
from raypipe.opensearch.connection.client import Connection
from raypipe.opensearch.rows.auth import (
    Auth,
    BasicAuth,
    ClientCertificate,
    SigV4,
    TokenAuth,
    connect,
)
from raypipe.opensearch.rows.documents import RowSchema
from raypipe.opensearch.rows.index import RowIndex
from raypipe.opensearch.rows.outcome import (
    RejectedRow,
    RejectedRowsError,
    SinkResult,
    TaskOutcome,
    add_up,
    describe_rejections,
)
from raypipe.opensearch.rows.writer import OnRejected, RowWriter, in_own_words

if TYPE_CHECKING:
    import pyarrow as pa
    from ray.data._internal.execution.interfaces import TaskContext

__all__ = [
    "Auth",
    "BasicAuth",
    "ClientCertificate",
    "Connection",
    "OpenSearchDatasink",
    "RejectedRow",
    "RejectedRowsError",
    "SetupError",
    "SigV4",
    "SinkError",
    "SinkResult",
    "TokenAuth",
]

log = logging.getLogger(__name__)

_WRITE_ID = "write_uuid"
"""Ray's id of a write, the same for all its tasks and their attempts (Ray 2.48 and newer)."""


class OpenSearchDatasink(Datasink[TaskOutcome]):
    """Writes the rows of a Ray Dataset as documents, in bulk requests.

    Rows may have any columns; `raypipe.opensearch.rows.json_values` lists the JSON form of each
    Arrow type. Documents that fail for the moment are sent again, each by its own result. After
    the write `result` has the counts.

    With `id_column` a write is repeatable: the last write of an id wins. Without it a document
    gets an id made of Ray's id of the write, the write task and the row, so that requests and
    tasks that Ray repeats replace their own documents; only a task whose input changed between
    its attempts may leave a document more. Serverless collections make the ids themselves: a
    repeated task doubles its documents there, and documents that are sent again after a lost
    response are counted as `SinkResult.uncertain`.

    A missing index is created, with a private alias `<index>-write`. An existing index or alias
    is written as it is; an index also gets that alias where the user may add it. Through the alias
    a write never creates an index that was deleted meanwhile.

    Args:
        endpoint: URL of the server, or a `Connection`, which brings its own credentials.
        index: Name of an index or alias.
        id_column: Column of strings, whole numbers or UUIDs that holds the ids; a row without an
            id is rejected. A column named `_id` is no field of the documents.
        vector_column: Column of lists of numbers or one-dimensional tensors. A new index gets a
            `knn_vector` field for it, with the length of the first vector and cosine similarity.
        mapping: Mapping of a new index, or a body with `settings` and `mappings`; None lets the
            server derive the fields from the documents.
        auth: `BasicAuth`, `TokenAuth`, `SigV4` or `ClientCertificate`; None for no credentials.
            The sink is pickled to the workers without secrets: each worker reads the named
            environment variables and files itself.
        max_docs: Most documents in a bulk request. Ray bundles small blocks to that many rows.
        max_bytes: Most uncompressed bytes in a bulk request; a larger document is sent alone.
        on_rejected: What to do with documents that the index refuses, after all others are
            written. `raise` ends `write_datasink` with `RejectedRowsError`; `skip` counts them and
            logs one line; a function is called on the worker with the rejected rows of a write
            task, a list of `RejectedRow`. What the function raises fails the write.
        retry_budget_s: Seconds in which documents are sent again to a server in trouble; then
            `write_datasink` raises `SinkError`, whatever `on_rejected` is.
        connection: Further arguments of `Connection`, such as `ca_certs`, `verify_certs`,
            `timeout_s` and `compress`.

    Raises:
        ValueError: An argument is out of its range.
    """

    def __init__(
        self,
        endpoint: str | Connection,
        index: str,
        *,
        id_column: str | None = None,
        vector_column: str | None = None,
        mapping: Mapping[str, Any] | None = None,
        auth: Auth | None = None,
        max_docs: int = 1000,
        max_bytes: int = 8 * MEBIBYTE,
        on_rejected: Literal["raise", "skip"] | OnRejected = "raise",
        retry_budget_s: float = 600.0,
        **connection: Any,
    ) -> None:
        super().__init__()
        if not callable(on_rejected) and on_rejected not in ("raise", "skip"):
            raise ValueError(f"on_rejected={on_rejected}: choose raise, skip, or give a function")
        self._raises = on_rejected == "raise"
        self._writer = RowWriter(
            RowIndex(
                connect(endpoint, auth, **connection),
                index,
                mapping,
                vector_column,
                max_docs,
                max_bytes,
                retry_budget_s,
            ),
            RowSchema(id_column, vector_column),
            on_rejected if callable(on_rejected) else None,
        )
        self.result: SinkResult | None = None
        """What the last write did; None before its end, and after a write that failed."""

    @property
    def min_rows_per_write(self) -> int:
        """Rows to which Ray bundles small blocks: a full bulk request."""
        return self._writer.index.max_docs

    def get_name(self) -> str:
        """Return the name of the write tasks."""
        return "OpenSearch"

    def on_write_start(self, schema: Any = None) -> None:
        """Check the server on the driver, before the first write.

        Args:
            schema: Not used: Ray may fuse the write with the stage before it, and gives the
                schema of that stage's input. Older versions of Ray give none.

        Raises:
            SetupError: The server or the index cannot be used; one line.
        """
        self.result = None
        try:
            self._writer.prepare()
        except SetupError as error:
            raise _SetupFailure(in_own_words(error)) from None

    def write(self, blocks: Iterable[Any], ctx: TaskContext) -> TaskOutcome:
        """Write the rows of one write task; return its counts.

        Raises:
            SinkError: The server takes no documents.
            SetupError: The server or a column cannot be used.
        """
        tables = [BlockAccessor.for_block(block).to_arrow() for block in blocks]
        write_id = ctx.kwargs.get(_WRITE_ID)
        id_prefix = f"{write_id}-{ctx.task_idx}-" if write_id else None
        try:
            return self._writer.write(tables, id_prefix, _to_row)
        except SetupError as error:
            raise _SetupFailure(in_own_words(error)) from None
        except SinkError as error:
            raise _WriteFailure(in_own_words(error), error.status) from None

    def on_write_complete(self, write_result: Any) -> None:
        """Add up the counts of all write tasks, log them, and apply `on_rejected`.

        Raises:
            RejectedRowsError: The index refused rows, and `on_rejected` is `raise`.
            SinkError: The index was deleted during the write.
        """
        outcomes = [each for each in write_result.write_returns if isinstance(each, TaskOutcome)]
        self.result = result = add_up(outcomes)
        label = self._writer.index.label
        log.info("Wrote a dataset to %s: %s", label, result)
        self._writer.check_complete(outcomes)
        if not result.rejected:
            return
        message = describe_rejections(result, label)
        if self._raises:
            way_out = "Fix the rows, or set on_rejected to skip or to a function"
            raise RejectedRowsError(f"{message}. {way_out}", result)
        log.warning("%s", message)

    def on_write_failed(self, error: Exception) -> None:
        """Raise the one-line error of a worker in place of Ray's, which adds a traceback.

        Raises:
            SinkError: The server takes no documents.
            SetupError: The server or a column cannot be used.
        """
        if isinstance(error, RejectedRowsError):
            return
        self.result = None
        cause: Any = error
        while cause is not None and getattr(cause, "cause", None) is not None:
            cause = cause.cause  # Ray's error of a task holds the worker's
        if isinstance(cause, SetupError):
            raise SetupError(_first_line(str(cause))) from None
        if isinstance(cause, SinkError):
            raise SinkError(_first_line(str(cause)), cause.status) from None


class _SetupFailure(UserCodeException, SetupError):
    """A `SetupError` that Ray logs in short, as an error of the user's code."""

    def __init__(self, message: str) -> None:
        SetupError.__init__(self, _first_line(message))


class _WriteFailure(UserCodeException, SinkError):
    """A `SinkError` that Ray logs in short, as an error of the user's code."""

    def __init__(self, message: str, status: int = 0) -> None:
        SinkError.__init__(self, _first_line(message), status)


def _first_line(message: str) -> str:
    """Return a message without the lines that Ray appends when it makes the error again."""
    return (message.splitlines() or [""])[0]


def _to_row(table: pa.Table) -> dict[str, Any]:
    """Return the row of a table with one row, as `Dataset.take` does."""
    rows: list[Mapping[str, Any]] = list(BlockAccessor.for_block(table).iter_rows(True))
    return dict(rows[0])
