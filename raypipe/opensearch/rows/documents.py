"""Turn the tables of a write task into documents with ids."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.types as kinds

from raypipe.core.errors import SetupError
from raypipe.opensearch.rows.json_values import (
    FIXED_TENSORS,
    RAGGED_TENSORS,
    Values,
    check_columns,
    column_values,
)

ID_FIELD = "_id"
"""A column of this name is the id only: OpenSearch refuses the field in a document."""
_ROWS_AT_ONCE = 1_000
"""Rows whose columns are converted together: bounds the memory of Python's objects."""


@dataclass(slots=True)
class RowDocument:
    """One row as a document.

    Args:
        key: Its id, or a name of the row where the server makes the id.
        body: The fields, for `orjson` with `OPT_SERIALIZE_NUMPY`.
        has_id: False for a row whose id is missing.
    """

    key: str
    body: dict[str, Any]
    has_id: bool = True


@dataclass(frozen=True)
class RowSchema:
    """The columns with a meaning.

    Args:
        id_column: Column with the ids; None for generated ids.
        vector_column: Column with the vectors; None for none.
    """

    id_column: str | None = None
    vector_column: str | None = None

    def check(self, schema: pa.Schema) -> None:
        """Check the columns of a table.

        Raises:
            SetupError: A named column is missing or has a wrong type, or a column has no JSON
                form; the message names it.
        """
        check_columns(schema)
        for option in ("id_column", "vector_column"):
            name = getattr(self, option)
            if name is not None and name not in schema.names:
                columns = ", ".join(schema.names[:20])
                raise SetupError(f"{option}={name}: the dataset has only the columns {columns}")
        if self.id_column is not None:
            _check_id_type(self.id_column, schema.field(self.id_column).type)
        if self.vector_column is not None:
            _check_vector_type(self.vector_column, schema.field(self.vector_column).type)

    def dimension_of(self, schema: pa.Schema) -> int | None:
        """Return the length of the vectors, if their type has it."""
        if self.vector_column is None or self.vector_column not in schema.names:
            return None
        kind = schema.field(self.vector_column).type
        if kinds.is_fixed_size_list(kind):
            return int(kind.list_size)
        shape: tuple[int, ...] = getattr(kind, "shape", ())
        return int(shape[0]) if len(shape) == 1 else None

    def find_dimension(self, tables: Sequence[pa.Table]) -> int | None:
        """Return the length of the first vector, or None without a vector."""
        for table in tables:
            if self.vector_column is None or not table.num_rows:
                continue
            column = table.column(self.vector_column)
            if (dimension := self.dimension_of(table.schema)) is None:
                dimension = _first_length(column, self.vector_column)
            if dimension and column.null_count < len(column):
                return dimension
        return None

    def ids_of(self, table: pa.Table) -> list[str | None] | None:
        """Return the id of each row, None where it is missing; None without an id column."""
        if self.id_column is None:
            return None
        values = column_values(table.column(self.id_column), self.id_column)
        return [None if value is None else str(value) for value in values]


@dataclass
class RowReader:
    """The documents of one write task, in order; iterated once, in bounded memory.

    Args:
        tables: The rows.
        schema: The columns with a meaning.
        id_prefix: Prefix of generated ids, the same for each attempt of the task.
    """

    tables: Sequence[pa.Table]
    schema: RowSchema
    id_prefix: str

    def __post_init__(self) -> None:
        """Read the ids; of equal ids the last row counts."""
        self.rows = sum(table.num_rows for table in self.tables)
        self._keys: list[str] = []
        self._missing: set[int] = set()
        for table in self.tables:
            ids = self.schema.ids_of(table)
            self._keys += self._keys_of(ids if ids is not None else [None] * table.num_rows)
        self._last = dict(zip(self._keys, range(self.rows), strict=True))

    @property
    def documents(self) -> int:
        """Return the number of documents."""
        return len(self._last)

    def __iter__(self) -> Iterator[RowDocument]:
        """Yield the documents."""
        number, has_duplicates = 0, self.documents < self.rows
        for table in self.tables:
            for start in range(0, table.num_rows, _ROWS_AT_ONCE):
                chunk = table.slice(start, _ROWS_AT_ONCE)
                for body in self._bodies(chunk):
                    key = self._keys[number]
                    if not has_duplicates or self._last[key] == number:
                        yield RowDocument(key, body, number not in self._missing)
                    number += 1

    def row_of(self, key: str) -> pa.Table:
        """Return the row of a document as a table."""
        number = self._last[key]
        for table in self.tables:
            if number < table.num_rows:
                return table.slice(number, 1)
            number -= table.num_rows
        raise KeyError(key)

    def _keys_of(self, ids: Sequence[str | None]) -> Iterator[str]:
        for number, doc_id in enumerate(ids, start=len(self._keys)):
            if doc_id is None and self.schema.id_column is not None:
                self._missing.add(number)
                yield f"\0{number}"  # no id of the user
            else:
                yield f"{self.id_prefix}{number}" if doc_id is None else doc_id

    def _bodies(self, chunk: pa.Table) -> Iterator[dict[str, Any]]:
        names = [name for name in chunk.column_names if not self._is_only_id(name)]
        columns: list[Values] = [column_values(chunk.column(name), name) for name in names]
        if not columns:
            yield from ({} for _ in range(chunk.num_rows))
            return
        for row in zip(*columns, strict=True):
            yield dict(zip(names, row, strict=True))

    def _is_only_id(self, name: str) -> bool:
        return name == ID_FIELD and self.schema.id_column == ID_FIELD


def _check_id_type(name: str, kind: pa.DataType) -> None:
    inner = kind.value_type if kinds.is_dictionary(kind) else kind
    tests = (kinds.is_string, kinds.is_large_string, kinds.is_integer)
    is_text = str(inner) == "string_view" or getattr(inner, "extension_name", "") == "arrow.uuid"
    if not is_text and not any(test(inner) for test in tests):
        raise SetupError(
            f"id_column={name} has the type {kind}: ids are strings, whole numbers or UUIDs; make "
            "a column of strings"
        )


def _check_vector_type(name: str, kind: pa.DataType) -> None:
    extension = getattr(kind, "extension_name", "")
    if extension in FIXED_TENSORS + RAGGED_TENSORS:
        dimensions = len(kind.shape) if extension in FIXED_TENSORS else kind.ndim
        is_vector = dimensions == 1
    else:
        element = getattr(kind, "value_type", None)
        is_vector = element is not None and (
            kinds.is_integer(element) or kinds.is_floating(element) or kinds.is_null(element)
        )
        is_vector = is_vector and not kinds.is_dictionary(kind)
    if not is_vector:
        raise SetupError(
            f"vector_column={name} has the type {kind}: vectors are lists of numbers, or tensors "
            "with one dimension"
        )


def _first_length(column: pa.ChunkedArray, name: str) -> int | None:
    for chunk in column.chunks:
        for start in range(0, len(chunk), _ROWS_AT_ONCE):
            for value in column_values(chunk.slice(start, _ROWS_AT_ONCE), name):
                if value is not None and np.size(value):
                    return len(value)
    return None
