"""Tombstones: books deleted from the source, so that no document brings them back."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from raypipe.state.parquet_table import ParquetTable
from raypipe.state.store import State
from raypipe.state.table_schema import TableSchema

FOLDER = "removed"
_COLUMNS = pa.schema(
    [
        ("book_id", pa.string()),
        ("key", pa.string()),
        ("removed", pa.bool_()),  # False: the book is at the source again
        ("run_seq", pa.int64()),
        ("removed_at", pa.float64()),  # seconds since the epoch, UTC
    ]
)
_SCHEMA = TableSchema(_COLUMNS, kind=FOLDER, version=1)


@dataclass(frozen=True)
class Tombstones:
    """Record which books were deleted because they are no longer at the source.

    Args:
        state: Where the records are kept.
    """

    state: State

    def active(self) -> set[str]:
        """Return the ids of the books that are deleted now.

        Raises:
            SetupError: The state cannot be read.
        """
        rows = self._table().read_latest(["book_id", "removed"])
        return set(rows.filter(rows["removed"])["book_id"].to_pylist())

    def append(self, keys: Mapping[str, str], run_seq: int) -> None:
        """Record books as deleted.

        Args:
            keys: Keys of the books, by book id.
            run_seq: Number of the run.

        Raises:
            SetupError: The state cannot be written.
        """
        rows = ((book_id, key, True) for book_id, key in keys.items())
        self._write(rows, run_seq, "removed")

    def restore(self, book_ids: Iterable[str], run_seq: int) -> None:
        """Record books as no longer deleted: they are at the source again.

        Raises:
            SetupError: The state cannot be written.
        """
        self._write(((book_id, "", False) for book_id in book_ids), run_seq, "back")

    def _write(self, rows: Iterable[tuple[str, str, bool]], run_seq: int, task: str) -> None:
        now = time.time()
        cells = [
            {
                "book_id": book_id,
                "key": key,
                "removed": is_deleted,
                "run_seq": run_seq,
                "removed_at": now,
            }
            for book_id, key, is_deleted in rows
        ]
        self._table().write(pa.Table.from_pylist(cells, schema=_COLUMNS), run_seq, task, 0)

    def _table(self) -> ParquetTable:
        return ParquetTable(self.state, FOLDER, _SCHEMA, ("book_id",), ("run_seq", "removed_at"))


def exclude_books(table: pa.Table, book_ids: set[str]) -> pa.Table:
    """Return a table without the rows of these books."""
    if not book_ids:
        return table
    is_excluded = pc.is_in(table["book_id"], pa.array(sorted(book_ids), pa.string()))
    return table.filter(pc.invert(is_excluded))
