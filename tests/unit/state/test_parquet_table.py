"""Parts of a table: order, duplicate rows, compaction, crashes, and unreadable parts."""

from __future__ import annotations

import dataclasses
import threading
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raypipe.core.errors import SetupError
from raypipe.state.local import LocalState
from raypipe.state.parquet_table import ParquetTable
from raypipe.state.table_schema import TableSchema, filter_equal

SCHEMA = pa.schema(
    [("id", pa.string()), ("value", pa.string()), ("run_seq", pa.int64()), ("at", pa.float64())]
)
THINGS = TableSchema(SCHEMA, "things")


@pytest.fixture
def state(tmp_path: Path) -> LocalState:
    return LocalState(str(tmp_path))


@pytest.fixture
def parts(state: LocalState) -> ParquetTable:
    return ParquetTable(state, "things", THINGS, ("id",), ("run_seq", "at"))


def rows(*cells: tuple[str, str, int, float]) -> pa.Table:
    names = SCHEMA.names
    return pa.Table.from_pylist([dict(zip(names, cell, strict=True)) for cell in cells], SCHEMA)


def values(table: pa.Table) -> dict[str, str]:
    return dict(zip(table["id"].to_pylist(), table["value"].to_pylist(), strict=True))


def test_the_name_of_a_part_has_run_task_and_number(parts: ParquetTable) -> None:
    assert parts.write(rows(("a", "1", 7, 0.0)), 7, 12, 3) == "part-00000007-000012-000003.parquet"
    assert (
        parts.write(rows(("a", "1", 7, 0.0)), 7, "w.x-1", 0) == "part-00000007-w.x-1-000000.parquet"
    )
    with pytest.raises(ValueError, match="a task may have"):
        parts.write(rows(("a", "1", 7, 0.0)), 7, "~", 0)


def test_without_rows_no_part_is_written(parts: ParquetTable) -> None:
    assert parts.write(SCHEMA.empty_table(), 1, 0, 0) == ""
    assert parts.part_names() == []
    assert parts.read().schema == SCHEMA
    assert len(parts.read_latest()) == 0


def test_a_retried_task_adds_a_part(parts: ParquetTable) -> None:
    """Both attempts may hold acknowledgements."""
    first = parts.write(rows(("a", "1", 1, 1.0), ("b", "1", 1, 1.0)), 1, 0, 0)
    again = parts.write(rows(("b", "2", 1, 2.0), ("c", "2", 1, 2.0)), 1, 0, 0)
    assert first != again
    assert len(parts.read()) == 4
    assert values(parts.read_latest()) == {"a": "1", "b": "2", "c": "2"}


def test_the_last_row_is_by_run_then_time_then_position(parts: ParquetTable) -> None:
    parts.write(rows(("a", "run 2", 2, 5.0), ("b", "late", 2, 9.0)), 2, 0, 0)
    parts.write(rows(("a", "run 1, later clock", 1, 99.0)), 1, 9, 0)
    parts.write(rows(("b", "early", 2, 3.0), ("c", "x", 2, 1.0), ("c", "y", 2, 1.0)), 2, 1, 0)
    assert values(parts.read_latest()) == {"a": "run 2", "b": "late", "c": "y"}


def test_read_selects_columns_and_rows(parts: ParquetTable) -> None:
    parts.write(rows(("a", "1", 1, 0.0), ("b", "2", 1, 0.0)), 1, 0, 0)
    parts.write(rows(("a", "3", 2, 0.0)), 2, 0, 0)
    assert parts.read(["value"], {"id": "a"}).to_pydict() == {"value": ["1", "3"]}
    assert parts.read(["id"], {"run_seq": 2}).to_pydict() == {"id": ["a"]}
    named = parts.read(["id"], {"value": "3"}, part_column=True)
    assert named.to_pydict() == {"id": ["a"], "part": ["part-00000002-000000-000000.parquet"]}


def test_parts_of_earlier_runs_are_not_opened(parts: ParquetTable, state: LocalState) -> None:
    state.put("things/part-00000001-000000-000000.parquet", b"torn, of run 1")
    parts.write(rows(("a", "3", 2, 0.0)), 2, 0, 0)
    assert values(parts.read(where={"run_seq": 2})) == {"a": "3"}


def test_other_files_are_ignored(parts: ParquetTable, state: LocalState) -> None:
    parts.write(rows(("a", "1", 1, 0.0)), 1, 0, 0)
    for leftover in ("part-1.parquet.tmp", "x.parquet", "_SUCCESS", "part-x.parquet/deep"):
        state.put(f"things/{leftover}", b"leftover of a crash")
    assert len(parts.read()) == 1


class TestUnreadableParts:
    def error_for(self, parts: ParquetTable, state: LocalState, data: bytes) -> str:
        parts.write(rows(("good", "1", 1, 0.0)), 1, 0, 0)
        state.put("things/part-00000001-bad-000000.parquet", data)
        for read in (parts.read, parts.read_latest, lambda: parts.compact(2)):
            with pytest.raises(
                SetupError, match=r"things/part-00000001-bad-000000\.parquet"
            ) as raised:
                read()
        assert len(parts.part_names()) == 2  # nothing was compacted
        return str(raised.value)

    def encode(self, table: pa.Table, label: str | None = "things/1") -> bytes:
        sink = pa.BufferOutputStream()
        meta = {"raypipe.schema": label} if label else None
        pq.write_table(table.replace_schema_metadata(meta), sink)
        return sink.getvalue().to_pybytes()

    @pytest.mark.parametrize("cut", [0, 3, 20, -1, -300])
    def test_torn_file(self, parts: ParquetTable, state: LocalState, cut: int) -> None:
        whole = THINGS.encode(rows(*[(f"{n}", "x", 1, 0.0) for n in range(100)]))
        assert "damaged" in self.error_for(parts, state, whole[:cut])

    def test_flipped_bytes(self, parts: ParquetTable, state: LocalState) -> None:
        whole = bytearray(THINGS.encode(rows(*[(f"{n}", "x", 1, 0.0) for n in range(100)])))
        whole[10:200] = bytes(190)
        assert "damaged" in self.error_for(parts, state, bytes(whole))

    def test_one_flipped_bit(self, parts: ParquetTable, state: LocalState) -> None:
        good = rows(*[(f"{n}", f"value {n}", 1, 0.0) for n in range(60)])
        whole = THINGS.encode(good)
        for at in range(4, len(whole), 7):
            flipped = bytearray(whole)
            flipped[at] ^= 1 << at % 8
            state.put("things/part-00000002-000000-000000.parquet", bytes(flipped))
            try:
                read = values(parts.read())
            except SetupError as error:
                message = str(error)
            else:
                message = ""
                assert read == values(good), f"bit of byte {at}"
            assert not message or "part-00000002-000000-000000.parquet" in message

    def test_other_format(self, parts: ParquetTable, state: LocalState) -> None:
        assert "no parquet" in self.error_for(parts, state, b'{"id": 1}' * 10)

    def test_foreign_file(self, parts: ParquetTable, state: LocalState) -> None:
        message = self.error_for(parts, state, self.encode(pa.table({"id": ["a"]}), None))
        assert "no metadata of raypipe" in message

    def test_part_of_another_table(self, parts: ParquetTable, state: LocalState) -> None:
        table = rows(("a", "1", 1, 0.0))
        message = self.error_for(parts, state, self.encode(table, "failures/1"))
        assert "has no things rows" in message

    def test_part_of_a_newer_version(self, parts: ParquetTable, state: LocalState) -> None:
        table = rows(("a", "1", 1, 0.0)).append_column("more", pa.array(["x"]))
        message = self.error_for(parts, state, self.encode(table, "things/2"))
        assert "a newer raypipe wrote it with the columns more" in message
        assert "upgrade raypipe" in message

    def test_missing_column(self, parts: ParquetTable, state: LocalState) -> None:
        table = rows(("a", "1", 1, 0.0)).drop_columns("at")
        assert "lacks the columns at" in self.error_for(parts, state, self.encode(table))

    def test_column_of_another_type(self, parts: ParquetTable, state: LocalState) -> None:
        table = rows(("a", "1", 1, 0.0))
        table = table.set_column(0, "id", pa.array([1], pa.int64()))
        assert "column id is int64, not string" in self.error_for(parts, state, self.encode(table))


def test_columns_that_an_older_version_lacks_are_null(
    parts: ParquetTable, state: LocalState
) -> None:
    parts.write(rows(("a", "1", 1, 0.0)), 1, 0, 0)
    newer = TableSchema(SCHEMA.append(pa.field("extra", pa.int32())), "things", version=2)
    upgraded = dataclasses.replace(parts, schema=newer)
    fresh = upgraded.read()
    assert fresh["extra"].to_pylist() == [None]
    upgraded.write(
        fresh.set_column(4, newer.columns.field("extra"), pa.array([5], pa.int32())), 2, 0, 0
    )
    assert upgraded.read(["extra"])["extra"].to_pylist() == [None, 5]
    assert upgraded.compact(2) == 2
    with pytest.raises(SetupError, match="upgrade raypipe"):
        parts.read()


def test_rows_with_other_columns_are_refused(parts: ParquetTable) -> None:
    with pytest.raises(ValueError, match="things rows have the columns"):
        parts.write(pa.table({"id": ["a"]}), 1, 0, 0)


class TestCompaction:
    def fill(self, parts: ParquetTable, count: int, run: int = 1) -> None:
        for task in range(count):
            parts.write(rows((f"{task}", f"{run}", run, 0.0)), run, task, 0)

    def test_below_the_threshold_nothing_is_compacted(self, parts: ParquetTable) -> None:
        self.fill(parts, 3)
        assert parts.compact(4) == 0
        assert len(parts.part_names()) == 3

    def test_compaction_keeps_the_last_rows(self, parts: ParquetTable) -> None:
        self.fill(parts, 5)
        self.fill(parts, 3, run=2)
        before = values(parts.read_latest())
        assert parts.compact(8) == 8
        assert parts.part_names() == ["part-00000002-~-000000.parquet"]
        assert len(parts.read()) == 5
        assert values(parts.read_latest()) == before

    def test_a_small_compacted_part_is_compacted_again(self, parts: ParquetTable) -> None:
        self.fill(parts, 3)
        parts.compact(2)
        self.fill(parts, 3)
        assert parts.compact(3) == 4
        assert parts.part_names() == ["part-00000001-~-000001.parquet"]
        assert parts.compact(2) == 0

    def test_rows_are_limited_and_full_parts_stay(self, parts: ParquetTable) -> None:
        small = dataclasses.replace(parts, max_rows=4)
        self.fill(small, 9)
        assert small.compact(2) == 8  # the ninth stays alone
        assert len(small.part_names()) == 3
        assert len(small.read()) == 9
        self.fill(small, 2, run=2)
        small.compact(2)
        assert values(small.read_latest())["0"] == "2"
        assert len(small.part_names()) == 3  # the two full ones, and the third with the new rows

    def test_bytes_are_limited(self, parts: ParquetTable) -> None:
        self.fill(parts, 9)
        small = dataclasses.replace(parts, max_bytes=parts.read().nbytes // 4)
        small.compact(2)
        assert len(small.part_names()) == 5  # four pairs and one left over
        assert len(small.read_latest()) == 9

    def test_a_compacted_part_sorts_after_the_parts_it_replaces(self, parts: ParquetTable) -> None:
        """A reader lists names in order: it must find the replacement of a part it missed."""
        parts.write(rows(("a", "1", 1, 0.0)), 1, "zzz", 999_999)
        parts.write(rows(("b", "1", 3, 0.0)), 3, "zzz_.-", 5)
        replaced = parts.part_names()
        parts.compact(2)
        (replacement,) = parts.part_names()
        assert all(name < replacement for name in replaced)

    def test_a_crash_before_the_deletion_is_harmless(
        self, parts: ParquetTable, state: LocalState, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.fill(parts, 4)

        def be_killed(self: LocalState, names: Any) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(LocalState, "delete", be_killed)
            with pytest.raises(KeyboardInterrupt):
                parts.compact(2)
        assert len(parts.part_names()) == 5
        assert len(parts.read_latest()) == 4
        assert parts.compact(2) == 5
        assert len(parts.read()) == 4

    def test_a_reader_whose_parts_are_deleted_lists_again(self, state: LocalState) -> None:
        writer = ParquetTable(state, "things", THINGS, ("id",))
        self.fill(writer, 4)

        lock = threading.Lock()

        class CompactingState(LocalState):
            """Compacts everything when the first part is open."""

            opened = 0

            def open(self, name: str) -> Any:
                with lock:
                    file = super().open(name)
                    type(self).opened += 1
                    if type(self).opened == 1:
                        writer.compact(2)
                    return file

        table = ParquetTable(CompactingState(state.root), "things", THINGS, ("id",)).read()
        assert sorted(table["id"].to_pylist()) == ["0", "1", "2", "3"]

    def test_tables_are_read_and_written_during_compaction(self, parts: ParquetTable) -> None:
        written: list[int] = []
        finished = threading.Event()
        errors: list[BaseException] = []

        def write() -> None:
            for number in range(300):
                parts.write(rows((f"{number}", "v", 1, 0.0)), 1, number, 0)
                written.append(number)
            finished.set()

        def compact() -> None:
            while not finished.is_set():
                parts.compact(5)

        def read() -> None:
            try:
                while not finished.is_set():
                    before = {f"{number}" for number in written}
                    assert before <= set(parts.read_latest(["id"])["id"].to_pylist())
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=work) for work in (write, compact, read, read)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not errors
        assert len(parts.read_latest()) == 300


def test_read_matching_returns_rows_from_several_row_groups(state: LocalState) -> None:
    schema = TableSchema(SCHEMA, "things", row_group_size=10)
    parts = ParquetTable(state, "things", schema, ("id",))
    name = parts.write(rows(*[(f"{n}", f"v{n}", 1, 0.0) for n in range(95)]), 1, 0, 0)
    matching = parts.read_matching(name, "id", ["7", "94", "none"])
    assert matching is not None
    assert values(matching) == {"7": "v7", "94": "v94"}
    assert parts.read_matching("part-00000009-gone-000000.parquet", "id", ["7"]) is None
    nothing = parts.read_matching(name, "id", [])
    assert nothing is not None
    assert nothing.schema == SCHEMA


def test_filter_equal_leaves_nulls_out() -> None:
    table = pa.table({"a": ["x", None], "b": [1, 2]})
    assert filter_equal(table, "a", "x")["b"].to_pylist() == [1]
    assert filter_equal(table.slice(0, 1), "a", "x")["b"].to_pylist() == [1]
    assert len(filter_equal(table.slice(1), "a", "x")) == 0
    assert len(filter_equal(table.slice(0, 0), "a", "x")) == 0
