"""Tombstones: books deleted from the source, so that no document brings them back."""

from __future__ import annotations

import time
from collections.abc import Collection, Container, Iterable, Mapping
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
        ("renamed_to", pa.string()),  # id of the same book under its new key, or ''
    ]
)
_SCHEMA = TableSchema(_COLUMNS, kind=FOLDER, version=2)


@dataclass(frozen=True)
class Tombstones:
    """Record which books were deleted because they are no longer at the source.

    Args:
        state: Where the records are kept.
    """

    state: State

    def renames(self) -> dict[str, str]:
        """Return the id of the same book under its new key, or '', by the id of a deleted book.

        Raises:
            SetupError: The state cannot be read.
        """
        rows = self._table().read_latest(["book_id", "removed", "renamed_to"])
        active = rows.filter(rows["removed"])
        new_ids = (new_id or "" for new_id in active["renamed_to"].to_pylist())
        return dict(zip(active["book_id"].to_pylist(), new_ids, strict=True))

    def returned(self) -> dict[str, int]:
        """Return the run that found a deleted book at the source again, by the id of the book.

        Raises:
            SetupError: The state cannot be read.
        """
        rows = self._table().read_latest(["book_id", "removed", "run_seq"])
        back = rows.filter(pc.invert(rows["removed"]))
        return dict(zip(back["book_id"].to_pylist(), back["run_seq"].to_pylist(), strict=True))

    def read_where(self, column: str, value: str) -> pa.Table:
        """Return all rows of the books with a `book_id` or a `key`.

        Raises:
            SetupError: The state cannot be read.
        """
        return self._table().read(where={column: value})

    def append(
        self, keys: Mapping[str, str], run_seq: int, renames: Mapping[str, str] | None = None
    ) -> None:
        """Record books as deleted.

        Args:
            keys: Keys of the books, by book id.
            run_seq: Number of the run.
            renames: Ids of the same books under their new keys, by book id.

        Raises:
            SetupError: The state cannot be written.
        """
        renames = renames or {}
        rows = ((book_id, key, renames.get(book_id, "")) for book_id, key in keys.items())
        self._write(rows, run_seq, "removed", is_deleted=True)

    def restore(self, book_ids: Iterable[str], run_seq: int) -> None:
        """Record books as no longer deleted: they are at the source again.

        Raises:
            SetupError: The state cannot be written.
        """
        rows = ((book_id, "", "") for book_id in book_ids)
        self._write(rows, run_seq, "back", is_deleted=False)

    def _write(
        self, rows: Iterable[tuple[str, str, str]], run_seq: int, task: str, *, is_deleted: bool
    ) -> None:
        now = time.time()
        cells = [
            {
                "book_id": book_id,
                "key": key,
                "removed": is_deleted,
                "run_seq": run_seq,
                "removed_at": now,
                "renamed_to": new_id,
            }
            for book_id, key, new_id in rows
        ]
        self._table().write(pa.Table.from_pylist(cells, schema=_COLUMNS), run_seq, task, 0)

    def _table(self) -> ParquetTable:
        return ParquetTable(self.state, FOLDER, _SCHEMA, ("book_id",), ("run_seq", "removed_at"))


def deletable_books(renames: Mapping[str, str], present: Container[str]) -> set[str]:
    """Return the deleted books whose documents may go from an index.

    A renamed book goes only where its document is present under the new key; otherwise people
    would not find the book at all.

    Args:
        renames: Result of `Tombstones.renames`.
        present: Ids of the books in the index.
    """
    return {book_id for book_id in renames if _is_deletable(book_id, renames, present)}


def _is_deletable(book_id: str, renames: Mapping[str, str], present: Container[str]) -> bool:
    """Follow a book through its renames until it is present, deleted, or neither."""
    passed = {book_id}
    while new_id := renames[book_id]:
        if new_id in present:
            return True
        if new_id not in renames or new_id in passed:
            return False
        passed.add(new_id)
        book_id = new_id
    return True


def exclude_books(table: pa.Table, book_ids: Collection[str]) -> pa.Table:
    """Return a table without the rows of these books."""
    if not book_ids:
        return table
    is_excluded = pc.is_in(table["book_id"], pa.array(sorted(book_ids), pa.string()))
    return table.filter(pc.invert(is_excluded))
