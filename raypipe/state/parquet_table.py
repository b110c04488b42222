"""An append-only table: parquet files, called parts, in a folder of a state.

A part never changes. Writers add parts, and compaction replaces many parts by a large one. A
compacted part sorts after all the parts it replaces, and it is written before they are deleted.
So a listing that misses a deleted part includes its replacement (see `State.list`), and a crash
in between duplicates rows but loses none. Readers use the last row of each key, so duplicates
are harmless.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, BinaryIO, TypeVar

import pyarrow as pa

from raypipe.state.latest_rows import latest_rows
from raypipe.state.store import Names, State, StateError
from raypipe.state.table_schema import TableSchema, UnreadablePartError

_NAME = re.compile(r"part-(?P<run>\d{8,})-(?P<task>.+)-(?P<seq>\d+)\.parquet")
_TASK = re.compile(r"[0-9A-Za-z_.-]{1,100}")
_COMPACTED = "~"  # sorts after every character that a task may have
_THREADS = 16
_MAX_LISTINGS = 20  # attempts of a reader whose parts are deleted while it reads
_T = TypeVar("_T")


@dataclass(frozen=True)
class ParquetTable:
    """Rows with a key in the parts of a folder.

    Args:
        state: Where the parts are kept.
        folder: Folder of the state that holds the parts and nothing else.
        schema: Format of the parts. Its column `run_seq` is the number in the name of a part.
        keys: Columns that identify the subject of a row; the last row of a key is valid.
        order: Numeric columns that sort the rows of a key; rows with equal values keep their
            position.
        max_rows: Maximum number of rows of a compacted part.
        max_bytes: Maximum number of bytes, in memory, of the rows of a compacted part.
    """

    state: State
    folder: str
    schema: TableSchema
    keys: Sequence[str]
    order: Sequence[str] = ("run_seq",)
    max_rows: int = 2_000_000
    max_bytes: int = 256_000_000

    def write(self, table: pa.Table, run_seq: int, task: int | str, seq: int) -> str:
        """Add rows as a part.

        Args:
            table: Rows of the schema; if there are none, nothing is written.
            run_seq: Number of the run.
            task: Task in that run; letters, digits and `_.-`.
            seq: Number of the part in that task. If a retried task wrote this number before,
                the next free number is used: both parts may hold acknowledgements.

        Returns:
            Name of the part in this folder, or '' if there were no rows.

        Raises:
            StateError: The state cannot be written.
            ValueError: The table has other columns, or the task has other characters.
        """
        if not len(table):
            return ""
        label = f"{task:06d}" if isinstance(task, int) else task
        if not _TASK.fullmatch(label):
            raise ValueError(f"a task may have letters, digits and _.- only: {label!r}")
        return self._put_part(self.schema.encode(table), f"part-{run_seq:08d}-{label}", seq)

    def part_names(self) -> Names:
        """Return the names of all parts, in the order in which their rows are read."""
        prefix = f"{self.folder}/"
        names = (name.removeprefix(prefix) for name in self.state.list(f"{prefix}part-"))
        parts = [name for name in names if name.endswith(".parquet") and "/" not in name]
        return sorted(parts, key=lambda name: (_run_seq_of(name), name))

    def compacted_part_names(self) -> Names:
        """Return the names of the compacted parts, oldest first."""
        return [name for name in self.part_names() if _is_compacted(name)]

    def read(
        self,
        columns: Sequence[str] | None = None,
        where: Mapping[str, Any] | None = None,
        *,
        part_column: bool = False,
    ) -> pa.Table:
        """Return the rows of all parts, duplicates of a key included; see `read_latest`.

        Args:
            columns: Columns to return; None for all.
            where: Return only rows that have these values, by column.
            part_column: Whether to add the column `part`, the name of the row's part.

        Raises:
            SetupError: A part is damaged, foreign, or written by a newer raypipe; the message
                names it.
        """
        selected = list(columns) if columns is not None else self.schema.columns.names
        tables: dict[str, pa.Table] = {}
        for _ in range(_MAX_LISTINGS):
            names = [name for name in self.part_names() if not _is_before_run(name, where)]
            missing = [name for name in names if name not in tables]
            tables.update(self._read_parts(missing, selected, where))
            if all(name in tables for name in names):
                return self._concat({name: tables[name] for name in names}, selected, part_column)
            # A part was compacted after it was listed; the next listing has its replacement.
        raise StateError(
            f"parts of {self.folder} in the state {self.state.uri} are deleted while they are "
            "read; check whether another program deletes files there"
        )

    def read_latest(
        self,
        columns: Sequence[str] | None = None,
        where: Mapping[str, Any] | None = None,
    ) -> pa.Table:
        """Return the last row of each key; arguments and errors as `read`."""
        selected = list(columns) if columns is not None else self.schema.columns.names
        # A key column with a single value does not distinguish rows, and takes memory per row.
        keys = [key for key in self.keys if key not in (where or {})]
        needed = list(dict.fromkeys([*selected, *keys, *self.order]))
        return latest_rows(self.read(needed, where), keys, self.order).select(selected)

    def read_matching(self, name: str, column: str, values: Sequence[str]) -> pa.Table | None:
        """Return the rows of a part with any of the values in a column.

        Returns:
            The rows, or None if the part does not exist.

        Raises:
            SetupError: The part cannot be read.
        """
        return self.with_part(name, lambda file: self.schema.read_matching(file, column, values))

    def read_first_group(self, name: str, column: str) -> list[Any]:
        """Return a column of the first rows of a part, or [] if the part does not exist.

        Raises:
            SetupError: The part cannot be read.
        """
        return self.with_part(name, lambda file: self.schema.read_first_group(file, column)) or []

    def compact(self, threshold: int = 500) -> int:
        """Replace parts by a few large ones, if at least `threshold` parts are not compacted.

        Others may read and write at the same time. The rows in memory are limited by
        `max_bytes`. Compacted parts that are at least half full stay as they are.

        Returns:
            Number of replaced parts.

        Raises:
            SetupError: The state cannot be read or written.
        """
        names = self.part_names()
        uncompacted = [name for name in names if not _is_compacted(name)]
        if len(uncompacted) < max(threshold, 2):
            return 0
        candidates = [name for name in names if not _is_compacted(name) or self._is_small(name)]
        group: dict[str, pa.Table] = {}
        replaced = rows = size = 0
        for name, table in self._iterate_parts(candidates):
            rows, size = rows + len(table), size + table.nbytes
            if group and (rows > self.max_rows or size > self.max_bytes):
                replaced += self._replace(group)
                group, rows, size = {}, len(table), table.nbytes
            group[name] = table
        return replaced + self._replace(group)

    def _put_part(self, data: bytes, stem: str, seq: int) -> str:
        while True:
            name = f"{stem}-{seq:06d}.parquet"
            if self.state.put_if_absent(f"{self.folder}/{name}", data) is not None:
                return name
            seq += 1

    def _read_parts(
        self, names: Sequence[str], columns: Sequence[str], where: Mapping[str, Any] | None = None
    ) -> dict[str, pa.Table]:
        """Return the rows of each part that still exists."""
        if not names:
            return {}

        def read_part(name: str) -> pa.Table | None:
            return self.with_part(name, lambda file: self.schema.read(file, columns, where))

        with ThreadPoolExecutor(min(_THREADS, len(names))) as pool:
            tables = zip(names, pool.map(read_part, names), strict=True)
            return {name: table for name, table in tables if table is not None}

    def with_part(self, name: str, read: Callable[[BinaryIO], _T]) -> _T | None:
        """Return the result of `read` with an open part, or None if the part does not exist."""
        file = self.state.open(f"{self.folder}/{name}")
        if file is None:
            return None
        with file:
            try:
                return read(file)
            except FileNotFoundError:
                return None
            except UnreadablePartError as error:
                raise StateError(
                    f"cannot read {self.folder}/{name} in the state {self.state.uri}: {error}"
                ) from None

    def _concat(
        self, tables: Mapping[str, pa.Table], columns: Sequence[str], part_column: bool
    ) -> pa.Table:
        schema = pa.schema([self.schema.columns.field(name) for name in columns])
        if part_column:
            schema = schema.append(pa.field("part", pa.string()))
            tables = {
                name: table.append_column("part", pa.repeat(name, len(table)).cast(pa.string()))
                for name, table in tables.items()
            }
        return pa.concat_tables([schema.empty_table(), *tables.values()])

    def _iterate_parts(self, names: Sequence[str]) -> Iterator[tuple[str, pa.Table]]:
        """Yield the rows of each part that still exists, with few parts in memory at once."""
        for start in range(0, len(names), _THREADS):
            batch = names[start : start + _THREADS]
            yield from self._read_parts(batch, self.schema.columns.names).items()

    def _is_small(self, name: str) -> bool:
        footer = self.with_part(name, lambda file: self.schema.open(file).metadata)
        if footer is None:
            return False
        groups = (footer.row_group(number) for number in range(footer.num_row_groups))
        size = sum(group.total_byte_size for group in groups)  # before compression
        return bool(footer.num_rows < self.max_rows // 2 and size < self.max_bytes // 2)

    def _replace(self, group: Mapping[str, pa.Table]) -> int:
        if len(group) < 2:
            return 0
        table = latest_rows(pa.concat_tables(group.values()), self.keys, self.order)
        run_seq = max(_run_seq_of(name) for name in group)
        stem = f"part-{run_seq:08d}-{_COMPACTED}"
        # The number follows all compacted parts of this run, so also those that are replaced.
        names = {*self.part_names(), *group}
        existing = [_part_seq_of(name) for name in names if name.startswith(stem)]
        self._put_part(self.schema.encode(table), stem, max(existing, default=-1) + 1)
        self.state.delete([f"{self.folder}/{name}" for name in group])
        return len(group)


def find_replaced(names: Iterable[str], current: Iterable[str]) -> list[str]:
    """Return the parts whose rows are in a later compacted part.

    Args:
        names: Names of parts in a state, with their folders.
        current: Names of the parts that a state has now, with their folders.
    """
    last_compacted: dict[str, tuple[int, str]] = {}
    for path in current:
        folder, _, name = path.rpartition("/")
        if _is_compacted(name):
            order = (_run_seq_of(name), name)
            last_compacted[folder] = max(order, last_compacted.get(folder, order))
    replaced = []
    for path in names:
        folder, _, name = path.rpartition("/")
        order = (_run_seq_of(name), name)
        if _NAME.fullmatch(name) and order < last_compacted.get(folder, (0, "")):
            replaced.append(path)
    return replaced


def _run_seq_of(name: str) -> int:
    match = _NAME.fullmatch(name)
    return int(match["run"]) if match else 0


def _part_seq_of(name: str) -> int:
    match = _NAME.fullmatch(name)
    return int(match["seq"]) if match else 0


def _is_compacted(name: str) -> bool:
    match = _NAME.fullmatch(name)
    return match is not None and match["task"].startswith(_COMPACTED)


def _is_before_run(name: str, where: Mapping[str, Any] | None) -> bool:
    """Whether a part was written before the run began that `where` asks for."""
    if not where or "run_seq" not in where:
        return False
    return 0 < _run_seq_of(name) < int(where["run_seq"])
