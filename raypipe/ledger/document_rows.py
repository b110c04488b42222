"""Select rows of finished documents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from raypipe.state.latest_rows import latest_rows
from raypipe.state.parquet_table import ParquetTable
from raypipe.state.table_schema import filter_rows

ORDER = ("run_seq", "finished_at")
"""Columns that decide which of two documents of a book is newer."""


def is_degraded(table: pa.Table) -> Any:
    """Return a mask of the documents with a fallback's summary."""
    return pc.fill_null(pc.not_equal(table["degraded"], ""), False)


def exclude_degraded(table: pa.Table) -> pa.Table:
    """Leave out fallback summaries: the model may succeed the next time."""
    return filter_rows(table, pc.invert(is_degraded(table)))


def latest_versions(table: pa.Table) -> pa.Table:
    """Return the newest row of each (book id, ETag)."""
    return latest_rows(table, ["book_id", "etag"], ORDER)


def read_from_compacted(table: ParquetTable, book_ids: Sequence[str]) -> pa.Table:
    """Return documents whose part was compacted, from the compacted parts, newest first."""
    tables = [table.schema.columns.empty_table()]
    missing = set(book_ids)
    for name in reversed(table.compacted_part_names()):
        rows = table.read_matching(name, "book_id", sorted(missing)) if missing else None
        if rows is not None:
            tables.append(rows)
            missing -= set(rows["book_id"].to_pylist())
    return pa.concat_tables(tables)
