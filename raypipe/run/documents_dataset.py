"""Finished documents as a Ray Dataset whose tasks read the parts of a state."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
from ray.data import Dataset, Datasource, read_datasource
from ray.data.block import BlockMetadata
from ray.data.datasource import ReadTask

from raypipe.ledger.newest_documents import DocumentBatch, columns_schema


def documents_dataset(batches: Sequence[DocumentBatch], columns: Sequence[str]) -> Dataset:
    """Return a Dataset with a row for each document; a read task for each batch."""
    dataset: Dataset = read_datasource(DocumentsDatasource(batches, columns))
    return dataset


class DocumentsDatasource(Datasource):
    """The documents of some batches.

    Args:
        batches: Documents in parts of a state, see `select_newest`.
        columns: Columns to read.
    """

    def __init__(self, batches: Sequence[DocumentBatch], columns: Sequence[str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._batches = batches
        self._columns = list(columns)

    def get_name(self) -> str:
        """Return the operator's name on the dashboard."""
        return "Documents"

    def estimate_inmemory_data_size(self) -> int | None:
        """Return None: the sizes of documents are not known before they are read."""
        return None

    def get_read_tasks(
        self,
        parallelism: int,
        per_task_row_limit: int | None = None,
        data_context: Any = None,
    ) -> list[ReadTask]:
        """Return a read task for each batch; a task without rows if there are no batches."""
        schema, columns = columns_schema(self._columns), self._columns

        def read(batch: DocumentBatch | None) -> Iterator[pa.Table]:
            yield schema.empty_table() if batch is None else batch.read(columns)

        return [
            ReadTask(
                lambda batch=batch: read(batch),  # type: ignore[misc]
                BlockMetadata(0 if batch is None else len(batch.rows), None, None, None),
                schema=schema,
            )
            for batch in (*self._batches, *([] if self._batches else [None]))
        ]
