"""The checkpoint: which version of which book an index generation has acknowledged."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from raypipe.state.parquet_table import ParquetTable
from raypipe.state.store import State
from raypipe.state.table_schema import TableSchema, filter_rows
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
_SCHEMA = TableSchema(PROCESSED_SCHEMA, kind="processed", version=1)


@dataclass(frozen=True, slots=True)
class Processed:
    """A document that the response of a bulk request acknowledged."""

    book_id: str
    etag: str
    recipe: str  # the document recipe; '' for a book deleted from source and index
    index: str  # name of the physical index
    generation: str  # UUID in the mapping of that index
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
            rows: Documents that this run acknowledged.
            run_seq: Number of the run.
            task: The write task in that run.
            seq: Number of the part in that task.

        Returns:
            Name of the part, or '' if there were no rows.

        Raises:
            SetupError: The state cannot be written. The task must fail with it: a document that
                is indexed but not recorded is written again by the next run, not lost.
        """
        cells = [{**dataclasses.asdict(row), "run_seq": run_seq} for row in rows]
        table = pa.Table.from_pylist(cells, schema=PROCESSED_SCHEMA)
        return self._table().write(table, run_seq, task, seq)

    def read_processed(self, generation: str, recipes: Collection[str]) -> pa.Table:
        """Return the books of some recipes in an index generation, each once.

        A book that was processed later with another recipe is left out: its document was
        replaced.

        Returns:
            Columns `book_id`, `etag`, `run_seq`, `processed_at`.

        Raises:
            SetupError: The state cannot be read.
        """
        table = self.read_generation(generation)
        is_wanted = pc.is_in(table["recipe"], pa.array(sorted(recipes), pa.string()))
        return filter_rows(table, is_wanted).drop_columns("recipe")

    def processed_versions(self, generation: str, recipes: Collection[str]) -> VersionSet:
        """Return `read_processed` as a set of (book id, ETag)."""
        return VersionSet(self.read_processed(generation, recipes))

    def read_generation(self, generation: str) -> pa.Table:
        """Return the books in an index generation, each once.

        Returns:
            Columns `book_id`, `etag`, `recipe`, `run_seq`, `processed_at`.

        Raises:
            SetupError: The state cannot be read.
        """
        columns = ["book_id", "etag", "recipe", "run_seq", "processed_at"]
        return _exclude_deleted(self._table().read_latest(columns, {"generation": generation}))

    def read_recipes(self) -> set[tuple[str, str, str]]:
        """Return index name, generation and recipe of all processed books, each combination once.

        Raises:
            SetupError: The state cannot be read.
        """
        columns = ["index", "generation", "recipe"]
        rows = _exclude_deleted(self._table().read_latest(columns))
        cells = rows.group_by(columns).aggregate([]).to_pylist()
        return {(cell["index"], cell["generation"], cell["recipe"]) for cell in cells}

    def count_older(self, generation: str, accepted: Collection[str], recipe: str) -> int:
        """Return how many books an index has with an accepted recipe other than this one."""
        older = [name for name in accepted if name != recipe]
        return len(self.read_processed(generation, older)) if older else 0

    def read_run(self, run_seq: int) -> pa.Table:
        """Return the books that a run processed, each once: `PROCESSED_SCHEMA`.

        Raises:
            SetupError: The state cannot be read.
        """
        return _exclude_deleted(self._table().read_latest(where={"run_seq": run_seq}))

    def read_book(self, book_id: str) -> pa.Table:
        """Return the last row of a book in each index, deletions included: `PROCESSED_SCHEMA`.

        Raises:
            SetupError: The state cannot be read.
        """
        return self._table().read_latest(where={"book_id": book_id})

    def read_latest(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Return the last row of each book, of any generation and recipe: `PROCESSED_SCHEMA`.

        Args:
            columns: Columns to return; None for all.

        Raises:
            SetupError: The state cannot be read.
        """
        return self._table(keys=("book_id",)).read_latest(columns)

    def compact(self, threshold: int = 500) -> int:
        """Merge parts if there are at least `threshold`; see `ParquetTable.compact`."""
        return self._table().compact(threshold)

    def _table(self, keys: tuple[str, ...] = ("generation", "book_id")) -> ParquetTable:
        return ParquetTable(self.state, FOLDER, _SCHEMA, keys, order=("run_seq", "processed_at"))


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


def _exclude_deleted(table: pa.Table) -> pa.Table:
    return filter_rows(table, pc.not_equal(table["recipe"], ""))
