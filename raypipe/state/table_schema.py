"""One parquet part: how it is written, and the checks before a row of it is believed."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

SCHEMA_KEY = b"raypipe.schema"
"""Parquet key-value metadata that names a part's kind and schema version: `processed/1`."""

_SMALL = 1 << 20  # bytes that are fetched whole; no more than S3State fetches at once


_TORN = (pa.ArrowException, OSError, ValueError)
"""What reading a torn file raises; names in a torn footer are no UTF-8, which is a ValueError."""


class Unreadable(Exception):
    """A part cannot be believed: why, and the way out."""


@dataclass(frozen=True)
class TableSchema:
    """What all parts of a folder look like.

    Args:
        schema: Columns; later versions may add some, and never change one.
        kind: What the rows are, e.g. `processed`.
        version: Of the schema. Parts of an older one may lack columns.
        row_group: Rows that a reader must take together.
    """

    schema: pa.Schema
    kind: str
    version: int = 1
    row_group: int = 1 << 20

    def encode(self, table: pa.Table) -> bytes:
        """Return a table of this schema as a zstd-compressed parquet file.

        Raises:
            ValueError: The table has other columns or types.
        """
        if set(table.column_names) != set(self.schema.names):
            raise ValueError(f"{self.kind} rows have the columns {table.column_names}")
        table = table.select(self.schema.names).cast(self.schema)
        mark = {SCHEMA_KEY: f"{self.kind}/{self.version}".encode()}
        sink = io.BytesIO()
        pq.write_table(
            table.replace_schema_metadata(mark),
            sink,
            compression="zstd",
            row_group_size=self.row_group,
            write_page_checksum=True,  # a flipped bit is seen, not read as another value
        )
        return sink.getvalue()

    def open(self, file: BinaryIO) -> pq.ParquetFile:
        """Return a part, checked against this form.

        Raises:
            Unreadable: It is torn, no parquet, or not of this form.
            FileNotFoundError: It was deleted meanwhile.
        """
        try:
            if file.seek(0, io.SEEK_END) <= _SMALL:
                file.seek(0)
                # Reading from memory takes half the time, and there are thousands of these.
                part = pq.ParquetFile(pa.BufferReader(file.read()), page_checksum_verification=True)
            else:
                part = pq.ParquetFile(file, pre_buffer=True, page_checksum_verification=True)
            schema = part.schema_arrow
        except FileNotFoundError:
            raise
        except _TORN as error:
            raise Unreadable(_damaged(error)) from None
        self._check(schema)
        return part

    def read(
        self,
        file: BinaryIO,
        columns: Sequence[str] | None = None,
        where: Mapping[str, Any] | None = None,
    ) -> pa.Table:
        """Return columns of a part, those rows that equal `where` in each of its columns.

        Raises:
            Unreadable: It is torn, no parquet, or not of this form.
            FileNotFoundError: It was deleted meanwhile.
        """
        wanted = list(columns) if columns is not None else self.schema.names
        read = list(dict.fromkeys([*wanted, *(where or {})]))
        table = self._columns(self.open(file), read)
        for name, value in (where or {}).items():
            table = equal(table, name, value)
        return table.select(wanted)

    def pick(self, file: BinaryIO, column: str, values: Sequence[str]) -> pa.Table:
        """Return the rows whose column has one of the values.

        Only row groups that hold one are read whole.

        Raises:
            Unreadable: It is torn, no parquet, or not of this form.
            FileNotFoundError: It was deleted meanwhile.
        """
        part = self.open(file)
        chosen = pa.array(values, pa.string())
        hits = [
            group
            for group in range(part.num_row_groups)
            if pc.any(pc.is_in(self._columns(part, [column], [group])[column], chosen)).as_py()
        ]
        table = self._columns(part, self.schema.names, hits)
        return table.filter(pc.is_in(table[column], chosen))

    def head(self, file: BinaryIO, column: str) -> list[Any]:
        """Return a column of the first row group; errors as `pick`."""
        first: list[Any] = self._columns(self.open(file), [column], [0])[column].to_pylist()
        return first

    def _columns(
        self, part: pq.ParquetFile, columns: Sequence[str], groups: Sequence[int] | None = None
    ) -> pa.Table:
        """Return columns of some row groups of a part (None = all), nulls for lacking ones."""
        there = [name for name in columns if name in part.schema_arrow.names]
        groups = range(part.num_row_groups) if groups is None else groups
        try:
            table = part.read_row_groups(list(groups), columns=there, use_threads=False)
        except FileNotFoundError:
            raise
        except _TORN as error:
            raise Unreadable(_damaged(error)) from None
        for name in columns:
            if name not in there:  # of an older version
                nulls = pa.nulls(len(table), self.schema.field(name).type)
                table = table.append_column(self.schema.field(name), nulls)
        return table.select(list(columns)).replace_schema_metadata(None)

    def _check(self, schema: pa.Schema) -> None:
        mark = (schema.metadata or {}).get(SCHEMA_KEY, b"").decode("utf-8", "replace")
        kind, _, number = mark.partition("/")
        if kind != self.kind or not number.isdecimal():
            said = f"it says {mark!r}" if mark else "it bears no mark of raypipe"
            raise Unreadable(f"it holds no {self.kind} rows ({said}); move it away")
        extra = sorted(set(schema.names) - set(self.schema.names))
        if int(number) > self.version or extra:
            more = f" with the columns {', '.join(extra)}" if extra else ""
            raise Unreadable(
                f"a newer raypipe wrote it{more} (version {number}, this one reads "
                f"{self.version}); upgrade raypipe"
            )
        lacking = sorted(set(self.schema.names) - set(schema.names))
        if lacking and int(number) == self.version:
            raise Unreadable(f"it lacks the columns {', '.join(lacking)}; move it away")
        for name in schema.names:
            found, wanted = schema.field(name).type, self.schema.field(name).type
            if found != wanted:
                raise Unreadable(f"its column {name} is {found}, not {wanted}; move it away")


def equal(table: pa.Table, column: str, value: Any) -> pa.Table:
    """Return the rows whose column has a value; the table itself if all have it."""
    mask = pc.equal(table[column], value)
    return table if pc.all(mask, skip_nulls=False).as_py() else table.filter(mask)


def _damaged(error: Exception) -> str:
    said = (str(error).splitlines() or [type(error).__name__])[0][:200]
    return f"it is damaged or no parquet file ({said}); move it away and run again"
