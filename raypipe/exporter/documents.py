"""Write documents as parquet or JSON lines, a batch at a time."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from raypipe.core.errors import OptionError
from raypipe.core.paths import expand_home
from raypipe.core.s3 import S3Connection
from raypipe.exporter.targets import is_s3, open_target
from raypipe.ledger.document_store import DocumentStore
from raypipe.ledger.newest_documents import (
    VECTOR,
    check_columns,
    check_exists,
    columns_schema,
    find_recipe,
    read_batches,
    select_newest,
)
from raypipe.state.store import State

FORMATS = {"parquet": (".parquet",), "jsonl": (".jsonl", ".ndjson")}
"""Formats of a file, with the endings of names that mean them."""

_ROW_GROUP_BYTES = 32 << 20
"""Bytes of a row group, in memory: many small parts become few groups."""
_JSON = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE


@dataclass(frozen=True)
class ExportRequest:
    """What to export, and where to.

    Args:
        to: A file, a folder (it exists, or the name ends with `/`), or `s3://bucket/key`.
        format: `parquet` or `jsonl`; None for the format that the ending of the name means, or
            else parquet.
        columns: Columns of the documents; empty for all.
        recipe: Documents of this recipe only, or of the recipe that begins like this; None for the
            newest document of each book of any recipe.
        vectors: Whether the vectors are written.
        overwrite: Whether a file of this name is replaced.
    """

    to: str
    format: str | None = None
    columns: Sequence[str] = ()
    recipe: str | None = None
    vectors: bool = True
    overwrite: bool = False


@dataclass(frozen=True)
class ExportResult:
    """An export.

    Attributes:
        to: The file that was written: an absolute path, or `s3://bucket/key`.
        format: Its format, `parquet` or `jsonl`.
        documents: Number of documents in it; each book once.
        bytes: Its size.
        seconds: How long the export took.
        state: The state that has the documents.
    """

    to: str
    format: str
    documents: int
    bytes: int
    seconds: float
    state: str


def export_documents(
    state: State, request: ExportRequest, connection: S3Connection | None = None
) -> ExportResult:
    """Write the newest document of each book to a file; deleted books are left out.

    Args:
        state: The state.
        request: What to export, and where to.
        connection: How S3 is reached; None for boto3's defaults.

    Raises:
        OptionError: The file exists, or there is no such format, column or recipe.
        SetupError: The state cannot be read, or the file cannot be written.
    """
    started = time.monotonic()
    to, file_format = resolve_target(request.to, request.format)
    columns = check_columns(request.columns)
    if not request.vectors:
        columns = [name for name in columns if name != VECTOR]
    check_exists(state)
    store = DocumentStore(state)
    recipe = None if request.recipe is None else find_recipe(store, request.recipe)
    documents = 0
    with open_target(to, connection, overwrite=request.overwrite) as file:
        batches = select_newest(store, recipe)
        with _WRITERS[file_format](file, columns) as write:
            for table in read_batches(batches, columns):
                write(table)
                documents += len(table)
        size = file.tell()
    seconds = round(time.monotonic() - started, 3)
    return ExportResult(to, file_format, documents, size, seconds, state.uri)


def resolve_target(to: str, file_format: str | None) -> tuple[str, str]:
    """Return the file to write and its format.

    Raises:
        OptionError: There is no such format, or no file is named.
    """
    if file_format is not None and file_format not in FORMATS:
        raise OptionError(f"format={file_format}: choose parquet or jsonl")
    bucket, _, key = to.removeprefix("s3://").partition("/")
    if not to or (is_s3(to) and not bucket) or ("://" in to and not is_s3(to)):
        raise OptionError(f"to={to}: give a file, a folder or s3://bucket/key")
    if is_s3(to):
        is_folder = not key or key.endswith("/")
        place = to.rstrip("/")
    else:
        try:
            path = expand_home(to, "to")
        except ValueError as error:
            raise OptionError(str(error)) from None
        is_folder = to.endswith("/") or os.path.isdir(path)  # noqa: PTH112
        place = str(path.absolute())
    suffix = Path(place).suffix.lower()
    meant = [name for name, endings in FORMATS.items() if suffix in endings and not is_folder]
    chosen = file_format or (meant or ["parquet"])[0]
    return (f"{place}/documents{FORMATS[chosen][0]}" if is_folder else place), chosen


Write = Callable[[pa.Table], None]


@contextmanager
def _write_parquet(file: Any, columns: Sequence[str]) -> Iterator[Write]:
    waiting: list[pa.Table] = []

    def flush() -> None:
        if waiting:
            writer.write_table(pa.concat_tables(waiting))
            waiting.clear()

    def write(table: pa.Table) -> None:
        waiting.append(table)
        if sum(each.nbytes for each in waiting) >= _ROW_GROUP_BYTES:
            flush()

    with pq.ParquetWriter(file, columns_schema(columns), compression="zstd") as writer:
        yield write
        flush()


@contextmanager
def _write_jsonl(file: Any, columns: Sequence[str]) -> Iterator[Write]:
    def write(table: pa.Table) -> None:
        rows = table.drop_columns([VECTOR] if VECTOR in columns else []).to_pylist()
        if VECTOR in columns:
            for row, vector in zip(rows, _vectors(table), strict=True):
                row[VECTOR] = vector
        file.write(b"".join(orjson.dumps(row, option=_JSON) for row in rows))

    yield write


def _vectors(table: pa.Table) -> Iterator[Any]:
    """Yield the vector of each row as an array, whose numbers JSON shows as short as float32."""
    for chunk in table[VECTOR].chunks:
        values = chunk.values.to_numpy()
        for start, stop in zip(*_bounds(chunk), strict=True):
            yield np.ascontiguousarray(values[start:stop])


def _bounds(chunk: Any) -> tuple[list[int], list[int]]:
    offsets = chunk.offsets.to_pylist()
    return offsets[:-1], offsets[1:]


_WRITERS = {"parquet": _write_parquet, "jsonl": _write_jsonl}
