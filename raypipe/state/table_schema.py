"""The file format of a part: write it as parquet, and validate it before a row is used."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

SCHEMA_KEY = b"raypipe.schema"
"""Key of the parquet metadata that names the kind and version of a part: `processed/1`."""

_SMALL_FILE = 1 << 20  # bytes that are read at once; at most what S3State fetches at once

_DAMAGED_FILE_ERRORS = (pa.ArrowException, OSError, ValueError)
"""Raised for a torn file. ValueError: names in a torn footer may not be valid UTF-8."""


class UnreadablePartError(Exception):
    """A part cannot be read; the message is the cause and the fix."""


@dataclass(frozen=True)
class TableSchema:
    """The format of all parts of a table.

    Args:
        columns: Columns of the rows. A later version may add columns, but not change any.
        kind: Kind of the rows, e.g. `processed`.
        version: Version of the columns. Parts of an older version may lack columns.
        row_group_size: Maximum number of rows in a row group, which a reader reads as a whole.
    """

    columns: pa.Schema
    kind: str
    version: int = 1
    row_group_size: int = 1 << 20

    def encode(self, table: pa.Table) -> bytes:
        """Return a table as a zstd-compressed parquet file.

        Raises:
            ValueError: The table has other columns or types.
        """
        if set(table.column_names) != set(self.columns.names):
            raise ValueError(f"{self.kind} rows have the columns {table.column_names}")
        table = table.select(self.columns.names).cast(self.columns)
        metadata = {SCHEMA_KEY: f"{self.kind}/{self.version}".encode()}
        file = io.BytesIO()
        pq.write_table(
            table.replace_schema_metadata(metadata),
            file,
            compression="zstd",
            row_group_size=self.row_group_size,
            write_page_checksum=True,  # detects a flipped bit, which could be a valid value
        )
        return file.getvalue()

    def open(self, file: BinaryIO) -> pq.ParquetFile:
        """Open a part and check that it has this format.

        Raises:
            UnreadablePartError: The file is damaged, no parquet file, or has another format.
            FileNotFoundError: The file was deleted in the meantime.
        """
        try:
            if file.seek(0, io.SEEK_END) <= _SMALL_FILE:
                file.seek(0)
                # There are thousands of small parts; reading them from memory takes half the time.
                part = pq.ParquetFile(pa.BufferReader(file.read()), page_checksum_verification=True)
            else:
                part = pq.ParquetFile(file, pre_buffer=True, page_checksum_verification=True)
            columns = part.schema_arrow
        except FileNotFoundError:
            raise
        except _DAMAGED_FILE_ERRORS as error:
            raise _damaged_error(error) from None
        self._check_format(columns)
        return part

    def read(
        self,
        file: BinaryIO,
        columns: Sequence[str] | None = None,
        where: Mapping[str, Any] | None = None,
    ) -> pa.Table:
        """Return rows of a part.

        Args:
            file: The part.
            columns: Columns to return; None for all.
            where: Return only rows that have these values, by column.

        Raises:
            UnreadablePartError: The file is damaged, no parquet file, or has another format.
            FileNotFoundError: The file was deleted in the meantime.
        """
        selected = list(columns) if columns is not None else self.columns.names
        needed = list(dict.fromkeys([*selected, *(where or {})]))
        table = self._read_columns(self.open(file), needed)
        for name, value in (where or {}).items():
            table = filter_equal(table, name, value)
        return table.select(selected)

    def read_matching(self, file: BinaryIO, column: str, values: Sequence[str]) -> pa.Table:
        """Return the rows of a part that have any of the values in a column.

        Only row groups with a matching row are read as a whole.

        Raises:
            UnreadablePartError: The file is damaged, no parquet file, or has another format.
            FileNotFoundError: The file was deleted in the meantime.
        """
        part = self.open(file)
        value_set = pa.array(values, pa.string())
        matching_groups = [
            group
            for group in range(part.num_row_groups)
            if pc.any(
                pc.is_in(self._read_columns(part, [column], [group])[column], value_set)
            ).as_py()
        ]
        table = self._read_columns(part, self.columns.names, matching_groups)
        return table.filter(pc.is_in(table[column], value_set))

    def read_rows(
        self, file: BinaryIO, columns: Sequence[str], rows: NDArray[np.int64]
    ) -> pa.Table:
        """Return columns of some rows of a part, in the order of the part.

        Only the row groups with these rows are read, one at a time.

        Args:
            file: The part.
            columns: Columns to return.
            rows: Positions of the rows in the part, ascending.

        Raises:
            UnreadablePartError: The file is damaged, no parquet file, or has another format.
            FileNotFoundError: The file was deleted in the meantime.
        """
        part = self.open(file)
        tables = [pa.schema([self.columns.field(name) for name in columns]).empty_table()]
        start = 0
        for group in range(part.num_row_groups):
            stop = start + part.metadata.row_group(group).num_rows
            first, last = np.searchsorted(rows, [start, stop])
            if first < last:
                table = self._read_columns(part, columns, [group])
                tables.append(table.take(pa.array(rows[first:last] - start)))
            start = stop
        return pa.concat_tables(tables)

    def read_first_group(self, file: BinaryIO, column: str) -> list[Any]:
        """Return the values of a column in the first row group of a part.

        Raises:
            UnreadablePartError: The file is damaged, no parquet file, or has another format.
            FileNotFoundError: The file was deleted in the meantime.
        """
        table = self._read_columns(self.open(file), [column], [0])
        values: list[Any] = table[column].to_pylist()
        return values

    def _read_columns(
        self, part: pq.ParquetFile, columns: Sequence[str], groups: Sequence[int] | None = None
    ) -> pa.Table:
        """Return columns of row groups (None: all); a column that the part lacks has nulls."""
        existing = [name for name in columns if name in part.schema_arrow.names]
        groups = range(part.num_row_groups) if groups is None else groups
        try:
            table = part.read_row_groups(list(groups), columns=existing, use_threads=False)
        except FileNotFoundError:
            raise
        except _DAMAGED_FILE_ERRORS as error:
            raise _damaged_error(error) from None
        for name in columns:
            if name not in existing:
                nulls = pa.nulls(len(table), self.columns.field(name).type)
                table = table.append_column(self.columns.field(name), nulls)
        return table.select(list(columns)).replace_schema_metadata(None)

    def _check_format(self, columns: pa.Schema) -> None:
        label = (columns.metadata or {}).get(SCHEMA_KEY, b"").decode("utf-8", "replace")
        kind, _, version = label.partition("/")
        if kind != self.kind or not version.isdecimal():
            found = f"its metadata is {label!r}" if label else "it has no metadata of raypipe"
            raise UnreadablePartError(
                f"the file has no {self.kind} rows ({found}); move it out of the state"
            )
        extra = sorted(set(columns.names) - set(self.columns.names))
        if int(version) > self.version or extra:
            details = f" with the columns {', '.join(extra)}" if extra else ""
            raise UnreadablePartError(
                f"a newer raypipe wrote it{details} (version {version}; this one reads "
                f"{self.version}); upgrade raypipe"
            )
        missing = sorted(set(self.columns.names) - set(columns.names))
        if missing and int(version) == self.version:
            raise UnreadablePartError(
                f"it lacks the columns {', '.join(missing)}; move it out of the state"
            )
        for name in columns.names:
            actual, expected = columns.field(name).type, self.columns.field(name).type
            if actual != expected:
                raise UnreadablePartError(
                    f"its column {name} is {actual}, not {expected}; move it out of the state"
                )


def filter_equal(table: pa.Table, column: str, value: Any) -> pa.Table:
    """Return the rows with a value in a column; the same table if all rows have it."""
    return filter_rows(table, pc.equal(table[column], value))


def filter_rows(table: pa.Table, mask: Any) -> pa.Table:
    """Return the rows for which a mask is true; the same table, and no copy, if all are."""
    return table if pc.all(mask, skip_nulls=False).as_py() else table.filter(mask)


def _damaged_error(error: Exception) -> UnreadablePartError:
    cause = (str(error).splitlines() or [type(error).__name__])[0][:200]
    return UnreadablePartError(
        f"it is damaged or no parquet file ({cause}); move it out of the state and run again"
    )
