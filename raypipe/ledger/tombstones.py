"""Tombstones: books that are not at the source any more, so that nothing brings them back."""

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
_SCHEMA = pa.schema(
    [
        ("book_id", pa.string()),
        ("key", pa.string()),
        ("removed", pa.bool_()),  # False: it is there again
        ("run_seq", pa.int64()),
        ("removed_at", pa.float64()),  # seconds since the epoch, UTC
    ]
)
_FORM = TableSchema(_SCHEMA, kind=FOLDER, version=1)


@dataclass(frozen=True)
class Tombstones:
    """Which books were removed at the source, and deleted for that.

    Args:
        state: Where.
    """

    state: State

    def active(self) -> set[str]:
        """Return the ids of the books that are removed now."""
        rows = self._parts().latest(["book_id", "removed"])
        return set(rows.filter(rows["removed"])["book_id"].to_pylist())

    def append(self, keys: Mapping[str, str], run_seq: int) -> None:
        """Note that books are removed, by id with their keys.

        Raises:
            SetupError: The state cannot be written.
        """
        self._write(((one, key, True) for one, key in keys.items()), run_seq, "removed")

    def restore(self, book_ids: Iterable[str], run_seq: int) -> None:
        """Note that books are at the source again.

        Raises:
            SetupError: The state cannot be written.
        """
        self._write(((one, "", False) for one in book_ids), run_seq, "back")

    def _write(self, rows: Iterable[tuple[str, str, bool]], run_seq: int, task: str) -> None:
        now = time.time()
        cells = [
            {"book_id": one, "key": key, "removed": removed, "run_seq": run_seq, "removed_at": now}
            for one, key, removed in rows
        ]
        self._parts().write(pa.Table.from_pylist(cells, schema=_SCHEMA), run_seq, task, 0)

    def _parts(self) -> ParquetTable:
        return ParquetTable(self.state, FOLDER, _FORM, ("book_id",), ("run_seq", "removed_at"))


def exclude_books(table: pa.Table, book_ids: set[str]) -> pa.Table:
    """Return a table without the rows of some books."""
    if not book_ids:
        return table
    gone = pc.is_in(table["book_id"], pa.array(sorted(book_ids), pa.string()))
    return table.filter(pc.invert(gone))
