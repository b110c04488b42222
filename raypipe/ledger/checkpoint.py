"""The checkpoint: which version of which book an index generation has acknowledged."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from raypipe.state.parquet_table import ParquetTable
from raypipe.state.store import State
from raypipe.state.table_schema import TableSchema, equal
from raypipe.state.version_index import VersionSet

PROCESSED_SCHEMA = pa.schema(
    [
        ("book_id", pa.string()),
        ("etag", pa.string()),
        ("recipe", pa.string()),
        ("index", pa.string()),
        ("generation", pa.string()),
        ("run_seq", pa.int64()),
        ("processed_at", pa.float64()),
    ]
)

FOLDER = "processed"
_FORM = TableSchema(PROCESSED_SCHEMA, kind="processed", version=1)


@dataclass(frozen=True, slots=True)
class Processed:
    """One document that a bulk request's own answer acknowledged."""

    book_id: str
    etag: str
    recipe: str  # the document recipe; empty = removed at the source, and deleted
    index: str  # the physical index
    generation: str  # the uuid in that index's mapping
    run_seq: int
    processed_at: float  # seconds since the epoch, UTC


@dataclass(frozen=True)
class Checkpoint:
    """Record processed books as parquet parts.

    Args:
        state: Where the parts are kept.
    """

    state: State

    def append(self, rows: Iterable[Processed], run_seq: int, task: int | str, seq: int) -> str:
        """Add acknowledged documents.

        Args:
            rows: What was acknowledged, by this run.
            run_seq: The run's number.
            task: The write task in that run.
            seq: Counts the parts of a task.

        Returns:
            The part's name, or an empty string if there were no rows.

        Raises:
            SetupError: The state cannot be written. The task must raise it: a document that
                is indexed and not recorded is written again, not lost.
        """
        cells = [{**dataclasses.asdict(row), "run_seq": run_seq} for row in rows]
        table = pa.Table.from_pylist(cells, schema=PROCESSED_SCHEMA)
        return self._parts().write(table, run_seq, task, seq)

    def processed(self, generation: str, recipe: str) -> pa.Table:
        """Return what an index generation holds of a recipe, each book once.

        A book that was processed later by another recipe does not count: its document was
        replaced.

        Returns:
            Columns `book_id`, `etag`, `run_seq`, `processed_at`.
        """
        table = self.of_generation(generation)
        return equal(table, "recipe", recipe).drop_columns("recipe")

    def versions(self, generation: str, recipe: str) -> VersionSet:
        """Return the same as a set of (book id, ETag)."""
        return VersionSet(self.processed(generation, recipe))

    def of_generation(self, generation: str) -> pa.Table:
        """Return what an index generation holds, each book once; `book_id`, `etag`, `recipe`."""
        columns = ["book_id", "etag", "recipe", "run_seq", "processed_at"]
        return _there(self._parts().latest(columns, {"generation": generation}))

    def of_run(self, run_seq: int) -> pa.Table:
        """Return what a run's parts say was processed, each book once; `PROCESSED_SCHEMA`."""
        return _there(self._parts().latest(where={"run_seq": run_seq}))

    def history(self) -> pa.Table:
        """Return the last row of each book, whatever generation and recipe: `PROCESSED_SCHEMA`.

        `raypipe.ledger.failures.standing` takes it, and so does a check of the whole ledger.
        """
        return self._parts(keys=("book_id",)).latest()

    def compact(self, threshold: int = 500) -> int:
        """Merge parts if there are too many; see `ParquetTable.compact`."""
        return self._parts().compact(threshold)

    def _parts(self, keys: tuple[str, ...] = ("generation", "book_id")) -> ParquetTable:
        return ParquetTable(self.state, FOLDER, _FORM, keys, order=("run_seq", "processed_at"))


@dataclass(frozen=True)
class CheckpointSettings:
    """Settings of the checkpoint, from conf/checkpoint.

    Args:
        skip: Whether a run skips processed books. They are recorded either way, because a run
            reads the rows back to check that its books balance.
    """

    skip: bool = True

    def open(self, state: State) -> Checkpoint:
        """Return the checkpoint in a state."""
        return Checkpoint(state)


def _there(table: pa.Table) -> pa.Table:
    """Leave out what was deleted."""
    return table.filter(pc.not_equal(table["recipe"], ""))
