"""An append-only table of parquet parts in one folder of a state.

Parts are never changed: they are added whole, and compaction replaces many by one. A compacted
part sorts after all that it replaces and is written before they are deleted, so a listing that
misses a deleted part shows its successor (see `State.list`), and a crash in between leaves rows
doubled, never lost. Doubled rows are harmless because readers take the last row of a key.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, BinaryIO, TypeVar

import numpy as np
import pyarrow as pa

from raypipe.state.store import Names, State, StateError
from raypipe.state.table_schema import TableSchema, Unreadable

_NAME = re.compile(r"part-(?P<run>\d{8,})-(?P<task>.+)-(?P<seq>\d+)\.parquet")
_TASK = re.compile(r"[0-9A-Za-z_.-]{1,100}")
_COMPACTED = "~"  # sorts after every character a task may have
_THREADS = 16
_T = TypeVar("_T")
_LISTINGS = 20  # a reader that loses this many races in a row says so


@dataclass(frozen=True)
class ParquetTable:
    """Rows with a key, kept as parts.

    Args:
        state: Where.
        folder: Folder of the state that holds the parts and nothing else.
        form: Schema of the rows; it has a column `run_seq`, the number in the part's name.
        keys: Columns that name what a row is about; the last row of a key counts.
        order: Columns by which a row is later than another; ties go by position.
        max_rows: Most rows of a compacted part.
        max_bytes: Most bytes, in memory, of the rows of a compacted part.
    """

    state: State
    folder: str
    form: TableSchema
    keys: Sequence[str]
    order: Sequence[str] = ("run_seq",)
    max_rows: int = 2_000_000
    max_bytes: int = 256_000_000

    def write(self, table: pa.Table, run_seq: int, task: int | str, seq: int) -> str:
        """Add rows as one part.

        Args:
            table: Rows of the schema; with none, nothing is written.
            run_seq: The run's number.
            task: The task in that run; letters, digits and `_.-`.
            seq: Counts the parts of a task. The next free number is taken instead if a task
                that was retried wrote this one already: both may hold acknowledgements.

        Returns:
            The part's name in this folder, or an empty string.
        """
        if not len(table):
            return ""
        label = f"{task:06d}" if isinstance(task, int) else task
        if not _TASK.fullmatch(label):
            raise ValueError(f"not a task of a part's name: {label!r}")
        return self._put(self.form.encode(table), f"part-{run_seq:08d}-{label}", seq)

    def names(self) -> Names:
        """Return the names of all parts, in the order their rows are read."""
        prefix = f"{self.folder}/"
        names = (name.removeprefix(prefix) for name in self.state.list(f"{prefix}part-"))
        parts = [name for name in names if name.endswith(".parquet") and "/" not in name]
        return sorted(parts, key=lambda name: (_run(name), name))

    def read(
        self,
        columns: Sequence[str] | None = None,
        where: Mapping[str, Any] | None = None,
        *,
        part_column: bool = False,
    ) -> pa.Table:
        """Return the rows of all parts; a key may stand there more than once, see `latest`.

        Args:
            columns: Columns to read; None = all.
            where: Only rows that equal these values, column by column.
            part_column: Whether to add the column `part`, the name of the row's part.

        Raises:
            SetupError: A part is damaged, foreign, or of a newer raypipe; it is named.
        """
        wanted = list(columns) if columns is not None else self.form.schema.names
        tables: dict[str, pa.Table] = {}
        for _ in range(_LISTINGS):
            names = [name for name in self.names() if not _too_old(name, where)]
            missing = [name for name in names if name not in tables]
            tables.update(self._load(missing, wanted, where))
            if all(name in tables for name in names):
                return self._together({name: tables[name] for name in names}, wanted, part_column)
            # Compacted between the listing and the reading: the successor is there by now.
        raise StateError(
            f"parts of {self.folder} in the state {self.state.uri} vanish as fast as they are "
            "read; is something else deleting them?"
        )

    def latest(
        self,
        columns: Sequence[str] | None = None,
        where: Mapping[str, Any] | None = None,
    ) -> pa.Table:
        """Return the last row of each key among the rows of `read`."""
        wanted = list(columns) if columns is not None else self.form.schema.names
        # What `where` holds fast tells no rows apart; a million copies of it need not be kept.
        keys = [key for key in self.keys if key not in (where or {})]
        read = list(dict.fromkeys([*wanted, *keys, *self.order]))
        return latest_rows(self.read(read, where), keys, self.order).select(wanted)

    def pick(self, name: str, column: str, values: Sequence[str]) -> pa.Table | None:
        """Return the rows of a part whose column has one of the values; None if it is gone."""
        return self._opened(name, lambda file: self.form.pick(file, column, values))

    def head(self, name: str, column: str) -> list[Any]:
        """Return a column of a part's first rows; empty if the part is gone."""
        return self._opened(name, lambda file: self.form.head(file, column)) or []

    def compacted(self) -> Names:
        """Return the names of compacted parts, oldest first."""
        return [name for name in self.names() if _is_compacted(name)]

    def compact(self, threshold: int = 500) -> int:
        """Replace parts by few large ones, if there are `threshold` that are not compacted.

        Readers and writers may be at work meanwhile. The rows in memory at once are bounded by
        `max_bytes`; compacted parts that are half full are left alone.

        Returns:
            How many parts were replaced.
        """
        names = self.names()
        fresh = [name for name in names if not _is_compacted(name)]
        if len(fresh) < max(threshold, 2):
            return 0
        candidates = [name for name in names if not _is_compacted(name) or self._is_small(name)]
        group: dict[str, pa.Table] = {}
        replaced = rows = size = 0
        for name, table in self._stream(candidates):
            rows, size = rows + len(table), size + table.nbytes
            if group and (rows > self.max_rows or size > self.max_bytes):
                replaced += self._replace(group)
                group, rows, size = {}, len(table), table.nbytes
            group[name] = table
        return replaced + self._replace(group)

    def _put(self, data: bytes, stem: str, seq: int) -> str:
        while True:
            name = f"{stem}-{seq:06d}.parquet"
            if self.state.put_if_absent(f"{self.folder}/{name}", data) is not None:
                return name
            seq += 1

    def _load(
        self, names: Sequence[str], columns: Sequence[str], where: Mapping[str, Any] | None = None
    ) -> dict[str, pa.Table]:
        """Return the rows of each part that is still there."""
        if not names:
            return {}
        with ThreadPoolExecutor(min(_THREADS, len(names))) as pool:
            tables = pool.map(lambda name: self._load_one(name, columns, where), names)
            return {
                name: table for name, table in zip(names, tables, strict=True) if table is not None
            }

    def _load_one(
        self, name: str, columns: Sequence[str], where: Mapping[str, Any] | None
    ) -> pa.Table | None:
        return self._opened(name, lambda file: self.form.read(file, columns, where))

    def _opened(self, name: str, use: Callable[[BinaryIO], _T]) -> _T | None:
        """Return what `use` makes of an open part, or None if the part is gone."""
        file = self.state.open(f"{self.folder}/{name}")
        if file is None:
            return None
        with file:
            try:
                return use(file)
            except FileNotFoundError:
                return None
            except Unreadable as reason:
                raise StateError(
                    f"{self.folder}/{name} in the state {self.state.uri}: {reason}"
                ) from None

    def _together(
        self, tables: Mapping[str, pa.Table], columns: Sequence[str], part_column: bool
    ) -> pa.Table:
        schema = pa.schema([self.form.schema.field(name) for name in columns])
        if part_column:
            schema = schema.append(pa.field("part", pa.string()))
            tables = {
                name: table.append_column("part", pa.repeat(name, len(table)).cast(pa.string()))
                for name, table in tables.items()
            }
        return pa.concat_tables([schema.empty_table(), *tables.values()])

    def _stream(self, names: Sequence[str]) -> Iterator[tuple[str, pa.Table]]:
        """Yield the rows of each part that is still there, few parts in memory at once."""
        for start in range(0, len(names), _THREADS):
            some = names[start : start + _THREADS]
            yield from self._load(some, self.form.schema.names).items()

    def _is_small(self, name: str) -> bool:
        footer = self._opened(name, lambda file: self.form.open(file).metadata)
        if footer is None:
            return False
        groups = (footer.row_group(number) for number in range(footer.num_row_groups))
        size = sum(group.total_byte_size for group in groups)  # before compression
        return bool(footer.num_rows < self.max_rows // 2 and size < self.max_bytes // 2)

    def _replace(self, group: Mapping[str, pa.Table]) -> int:
        if len(group) < 2:
            return 0
        table = latest_rows(pa.concat_tables(group.values()), self.keys, self.order)
        run = max(_run(name) for name in group)
        stem = f"part-{run:08d}-{_COMPACTED}"
        # After every compacted part of this run, so after those that this one replaces.
        taken = [_seq(name) for name in {*self.names(), *group} if name.startswith(stem)]
        self._put(self.form.encode(table), stem, max(taken, default=-1) + 1)
        self.state.delete([f"{self.folder}/{name}" for name in group])
        return len(group)


def latest_rows(
    table: pa.Table, keys: Sequence[str], order: Sequence[str] = ("run_seq",)
) -> pa.Table:
    """Return the last row of each key, in the table's order.

    Args:
        table: Rows, later ones after earlier ones where `order` does not tell.
        keys: Columns that together name what a row is about.
        order: Numeric columns, the first decides first.
    """
    if not len(table):
        return table
    codes, bound = _codes(table, keys)
    by_order = np.lexsort([table[name].to_numpy() for name in reversed(order)])
    last = np.full(bound, -1, dtype=np.int64)
    # Of several assignments to one index the last one stays (NumPy: "Assigning values to
    # indexed arrays").
    last[codes[by_order]] = by_order
    chosen = last[last >= 0]
    if len(chosen) == len(table):
        return table
    mask = np.zeros(len(table), dtype=bool)
    mask[chosen] = True
    return table.filter(pa.array(mask))


def _codes(table: pa.Table, keys: Sequence[str]) -> tuple[np.ndarray[Any, Any], int]:
    """Return a small integer for each row, equal where the keys are, and a bound of them."""
    codes = np.zeros(len(table), dtype=np.int64)
    bound = 1
    for name in keys:
        encoded = table[name].dictionary_encode(null_encoding="encode")
        column = np.concatenate([chunk.indices.to_numpy() for chunk in encoded.chunks])
        size = len(encoded.chunk(0).dictionary)
        codes, bound = codes * size + column, bound * size
        if bound > 4 * len(table):
            unique, codes = np.unique(codes, return_inverse=True)
            bound = len(unique)
    return codes, bound


def _run(name: str) -> int:
    match = _NAME.fullmatch(name)
    return int(match["run"]) if match else 0


def _seq(name: str) -> int:
    match = _NAME.fullmatch(name)
    return int(match["seq"]) if match else 0


def _is_compacted(name: str) -> bool:
    match = _NAME.fullmatch(name)
    return match is not None and match["task"].startswith(_COMPACTED)


def _too_old(name: str, where: Mapping[str, Any] | None) -> bool:
    """Whether a part was complete before the run that is asked for began."""
    if not where or "run_seq" not in where:
        return False
    return 0 < _run(name) < int(where["run_seq"])
