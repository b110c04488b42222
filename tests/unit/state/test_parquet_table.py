"""Parts: order, doubled rows, readers during compaction, crashes, and what is not believed."""

from __future__ import annotations

import dataclasses
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raypipe.core.errors import SetupError
from raypipe.state.local import LocalState
from raypipe.state.parquet_table import ParquetTable, latest_rows
from raypipe.state.table_schema import TableSchema, equal

SCHEMA = pa.schema(
    [("id", pa.string()), ("value", pa.string()), ("run_seq", pa.int64()), ("at", pa.float64())]
)
FORM = TableSchema(SCHEMA, "things")


@pytest.fixture
def state(tmp_path: Path) -> LocalState:
    return LocalState(str(tmp_path))


@pytest.fixture
def parts(state: LocalState) -> ParquetTable:
    return ParquetTable(state, "things", FORM, ("id",), ("run_seq", "at"))


def rows(*cells: tuple[str, str, int, float]) -> pa.Table:
    names = SCHEMA.names
    return pa.Table.from_pylist([dict(zip(names, cell, strict=True)) for cell in cells], SCHEMA)


def values(table: pa.Table) -> dict[str, str]:
    return dict(zip(table["id"].to_pylist(), table["value"].to_pylist(), strict=True))


def test_names_carry_run_task_and_sequence(parts: ParquetTable) -> None:
    assert parts.write(rows(("a", "1", 7, 0.0)), 7, 12, 3) == "part-00000007-000012-000003.parquet"
    assert (
        parts.write(rows(("a", "1", 7, 0.0)), 7, "w.x-1", 0) == "part-00000007-w.x-1-000000.parquet"
    )
    with pytest.raises(ValueError, match="not a task"):
        parts.write(rows(("a", "1", 7, 0.0)), 7, "~", 0)


def test_no_rows_make_no_part(parts: ParquetTable) -> None:
    assert parts.write(SCHEMA.empty_table(), 1, 0, 0) == ""
    assert parts.names() == []
    assert parts.read().schema == SCHEMA
    assert len(parts.latest()) == 0


def test_a_retried_task_overwrites_nothing(parts: ParquetTable) -> None:
    """Both tries may hold acknowledgements of their own."""
    first = parts.write(rows(("a", "1", 1, 1.0), ("b", "1", 1, 1.0)), 1, 0, 0)
    again = parts.write(rows(("b", "2", 1, 2.0), ("c", "2", 1, 2.0)), 1, 0, 0)
    assert first != again
    assert len(parts.read()) == 4
    assert values(parts.latest()) == {"a": "1", "b": "2", "c": "2"}


def test_last_row_is_by_run_then_time_then_position(parts: ParquetTable) -> None:
    parts.write(rows(("a", "run 2", 2, 5.0), ("b", "late", 2, 9.0)), 2, 0, 0)
    parts.write(rows(("a", "run 1, later clock", 1, 99.0)), 1, 9, 0)
    parts.write(rows(("b", "early", 2, 3.0), ("c", "x", 2, 1.0), ("c", "y", 2, 1.0)), 2, 1, 0)
    assert values(parts.latest()) == {"a": "run 2", "b": "late", "c": "y"}


def test_columns_and_where(parts: ParquetTable) -> None:
    parts.write(rows(("a", "1", 1, 0.0), ("b", "2", 1, 0.0)), 1, 0, 0)
    parts.write(rows(("a", "3", 2, 0.0)), 2, 0, 0)
    assert parts.read(["value"], {"id": "a"}).to_pydict() == {"value": ["1", "3"]}
    assert parts.read(["id"], {"run_seq": 2}).to_pydict() == {"id": ["a"]}
    named = parts.read(["id"], {"value": "3"}, part_column=True)
    assert named.to_pydict() == {"id": ["a"], "part": ["part-00000002-000000-000000.parquet"]}


def test_of_one_run_old_parts_are_not_even_opened(parts: ParquetTable, state: LocalState) -> None:
    state.put("things/part-00000001-000000-000000.parquet", b"torn, of run 1")
    parts.write(rows(("a", "3", 2, 0.0)), 2, 0, 0)
    assert values(parts.read(where={"run_seq": 2})) == {"a": "3"}


def test_only_parts_count(parts: ParquetTable, state: LocalState) -> None:
    parts.write(rows(("a", "1", 1, 0.0)), 1, 0, 0)
    for leftover in ("part-1.parquet.tmp", "x.parquet", "_SUCCESS", "part-x.parquet/deep"):
        state.put(f"things/{leftover}", b"leftover of a crash")
    assert len(parts.read()) == 1


class TestRefusals:
    def refusal(self, parts: ParquetTable, state: LocalState, data: bytes) -> str:
        parts.write(rows(("good", "1", 1, 0.0)), 1, 0, 0)
        state.put("things/part-00000001-bad-000000.parquet", data)
        for use in (parts.read, parts.latest, lambda: parts.compact(2)):
            with pytest.raises(SetupError, match=r"things/part-00000001-bad-000000\.parquet") as it:
                use()
        assert len(parts.names()) == 2  # nothing was compacted away
        return str(it.value)

    def encoded(self, table: pa.Table, mark: str | None = "things/1") -> bytes:
        sink = pa.BufferOutputStream()
        meta = {"raypipe.schema": mark} if mark else None
        pq.write_table(table.replace_schema_metadata(meta), sink)
        return sink.getvalue().to_pybytes()

    @pytest.mark.parametrize("cut", [0, 3, 20, -1, -300])
    def test_torn(self, parts: ParquetTable, state: LocalState, cut: int) -> None:
        whole = FORM.encode(rows(*[(f"{n}", "x", 1, 0.0) for n in range(100)]))
        assert "damaged" in self.refusal(parts, state, whole[:cut])

    def test_flipped_bytes(self, parts: ParquetTable, state: LocalState) -> None:
        whole = bytearray(FORM.encode(rows(*[(f"{n}", "x", 1, 0.0) for n in range(100)])))
        whole[10:200] = bytes(190)
        assert "damaged" in self.refusal(parts, state, bytes(whole))

    def test_one_flipped_bit(self, parts: ParquetTable, state: LocalState) -> None:
        good = rows(*[(f"{n}", f"value {n}", 1, 0.0) for n in range(60)])
        whole = FORM.encode(good)
        for at in range(4, len(whole), 7):
            flipped = bytearray(whole)
            flipped[at] ^= 1 << at % 8
            state.put("things/part-00000002-000000-000000.parquet", bytes(flipped))
            try:
                read = values(parts.read())
            except SetupError as error:
                said = str(error)
            else:
                said, there = "", values(good)
                assert read == there, f"bit of byte {at}"
            assert not said or "part-00000002-000000-000000.parquet" in said

    def test_not_parquet(self, parts: ParquetTable, state: LocalState) -> None:
        assert "no parquet" in self.refusal(parts, state, b'{"id": 1}' * 10)

    def test_foreign(self, parts: ParquetTable, state: LocalState) -> None:
        said = self.refusal(parts, state, self.encoded(pa.table({"id": ["a"]}), None))
        assert "no mark of raypipe" in said

    def test_of_another_table(self, parts: ParquetTable, state: LocalState) -> None:
        table = rows(("a", "1", 1, 0.0))
        said = self.refusal(parts, state, self.encoded(table, "failures/1"))
        assert "holds no things rows" in said

    def test_newer_version(self, parts: ParquetTable, state: LocalState) -> None:
        table = rows(("a", "1", 1, 0.0)).append_column("more", pa.array(["x"]))
        said = self.refusal(parts, state, self.encoded(table, "things/2"))
        assert "a newer raypipe wrote it with the columns more" in said
        assert "upgrade raypipe" in said

    def test_lacking_column(self, parts: ParquetTable, state: LocalState) -> None:
        table = rows(("a", "1", 1, 0.0)).drop_columns("at")
        assert "lacks the columns at" in self.refusal(parts, state, self.encoded(table))

    def test_other_type(self, parts: ParquetTable, state: LocalState) -> None:
        table = rows(("a", "1", 1, 0.0))
        table = table.set_column(0, "id", pa.array([1], pa.int64()))
        assert "column id is int64, not string" in self.refusal(parts, state, self.encoded(table))


def test_older_version_is_filled_with_nulls(parts: ParquetTable, state: LocalState) -> None:
    parts.write(rows(("a", "1", 1, 0.0)), 1, 0, 0)
    newer = TableSchema(SCHEMA.append(pa.field("extra", pa.int32())), "things", version=2)
    upgraded = dataclasses.replace(parts, form=newer)
    fresh = upgraded.read()
    assert fresh["extra"].to_pylist() == [None]
    upgraded.write(
        fresh.set_column(4, newer.schema.field("extra"), pa.array([5], pa.int32())), 2, 0, 0
    )
    assert upgraded.read(["extra"])["extra"].to_pylist() == [None, 5]
    assert upgraded.compact(2) == 2
    with pytest.raises(SetupError, match="upgrade raypipe"):
        parts.read()


def test_write_refuses_other_columns(parts: ParquetTable) -> None:
    with pytest.raises(ValueError, match="things rows have the columns"):
        parts.write(pa.table({"id": ["a"]}), 1, 0, 0)


class TestCompaction:
    def fill(self, parts: ParquetTable, count: int, run: int = 1) -> None:
        for task in range(count):
            parts.write(rows((f"{task}", f"{run}", run, 0.0)), run, task, 0)

    def test_below_the_threshold_nothing_happens(self, parts: ParquetTable) -> None:
        self.fill(parts, 3)
        assert parts.compact(4) == 0
        assert len(parts.names()) == 3

    def test_keeps_the_last_rows(self, parts: ParquetTable) -> None:
        self.fill(parts, 5)
        self.fill(parts, 3, run=2)
        before = values(parts.latest())
        assert parts.compact(8) == 8
        assert parts.names() == ["part-00000002-~-000000.parquet"]
        assert len(parts.read()) == 5
        assert values(parts.latest()) == before

    def test_takes_up_a_small_compacted_part(self, parts: ParquetTable) -> None:
        self.fill(parts, 3)
        parts.compact(2)
        self.fill(parts, 3)
        assert parts.compact(3) == 4
        assert parts.names() == ["part-00000001-~-000001.parquet"]
        assert parts.compact(2) == 0

    def test_is_bounded_and_leaves_full_parts_alone(self, parts: ParquetTable) -> None:
        small = dataclasses.replace(parts, max_rows=4)
        self.fill(small, 9)
        assert small.compact(2) == 8  # the ninth stays alone
        assert len(small.names()) == 3
        assert len(small.read()) == 9
        self.fill(small, 2, run=2)
        small.compact(2)
        assert values(small.latest())["0"] == "2"
        assert len(small.names()) == 3  # the two full ones, and the third with the new rows

    def test_is_bounded_by_bytes(self, parts: ParquetTable) -> None:
        self.fill(parts, 9)
        small = dataclasses.replace(parts, max_bytes=parts.read().nbytes // 4)
        small.compact(2)
        assert len(small.names()) == 5  # four pairs and one left over
        assert len(small.latest()) == 9

    def test_successor_sorts_after_all_that_it_replaces(self, parts: ParquetTable) -> None:
        """A reader pages through names in order: what it misses, it must meet later."""
        parts.write(rows(("a", "1", 1, 0.0)), 1, "zzz", 999_999)
        parts.write(rows(("b", "1", 3, 0.0)), 3, "zzz_.-", 5)
        replaced = parts.names()
        parts.compact(2)
        (successor,) = parts.names()
        assert all(name < successor for name in replaced)

    def test_crash_before_the_deletion_is_harmless(
        self, parts: ParquetTable, state: LocalState, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.fill(parts, 4)

        def killed(self: LocalState, names: Any) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(LocalState, "delete", killed)
            with pytest.raises(KeyboardInterrupt):
                parts.compact(2)
        assert len(parts.names()) == 5
        assert len(parts.latest()) == 4
        assert parts.compact(2) == 5
        assert len(parts.read()) == 4

    def test_a_reader_whose_parts_vanish_lists_again(self, state: LocalState) -> None:
        writer = ParquetTable(state, "things", FORM, ("id",))
        self.fill(writer, 4)

        lock = threading.Lock()

        class Late(LocalState):
            """Once the first part is open, and before any other, everything is compacted."""

            opened = 0

            def open(self, name: str) -> Any:
                with lock:
                    found = super().open(name)
                    type(self).opened += 1
                    if type(self).opened == 1:
                        writer.compact(2)
                    return found

        table = ParquetTable(Late(state.root), "things", FORM, ("id",)).read()
        assert sorted(table["id"].to_pylist()) == ["0", "1", "2", "3"]

    def test_readers_and_writers_at_work_meanwhile(self, parts: ParquetTable) -> None:
        written: list[int] = []
        over = threading.Event()
        errors: list[BaseException] = []

        def write() -> None:
            for number in range(300):
                parts.write(rows((f"{number}", "v", 1, 0.0)), 1, number, 0)
                written.append(number)
            over.set()

        def compact() -> None:
            while not over.is_set():
                parts.compact(5)

        def read() -> None:
            try:
                while not over.is_set():
                    before = {f"{number}" for number in written}
                    assert before <= set(parts.latest(["id"])["id"].to_pylist())
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=work) for work in (write, compact, read, read)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not errors
        assert len(parts.latest()) == 300


def test_pick_reads_the_row_groups_that_hold_a_value(state: LocalState) -> None:
    form = TableSchema(SCHEMA, "things", row_group=10)
    parts = ParquetTable(state, "things", form, ("id",))
    name = parts.write(rows(*[(f"{n}", f"v{n}", 1, 0.0) for n in range(95)]), 1, 0, 0)
    found = parts.pick(name, "id", ["7", "94", "none"])
    assert found is not None
    assert values(found) == {"7": "v7", "94": "v94"}
    assert parts.pick("part-00000009-gone-000000.parquet", "id", ["7"]) is None
    nothing = parts.pick(name, "id", [])
    assert nothing is not None
    assert nothing.schema == SCHEMA


class TestLatest:
    def test_several_keys_and_nulls(self) -> None:
        table = pa.table(
            {
                "a": ["x", "x", None, None, "y"],
                "b": ["1", "2", "1", "1", "1"],
                "run_seq": [5, 4, 3, 2, 1],
            }
        )
        assert latest_rows(table, ["a", "b"])["run_seq"].to_pylist() == [5, 4, 3, 1]

    def test_equals_a_plain_loop(self) -> None:
        random = np.random.default_rng(5)
        count = 3_000
        table = pa.table(
            {
                "k1": [f"{n}" for n in random.integers(0, 40, count)],
                "k2": [f"{n}" for n in random.integers(0, 30, count)],
                "run_seq": random.integers(0, 5, count),
                "at": random.random(count).round(1),
                "row": np.arange(count),
            }
        )
        chunked = pa.concat_tables([table.slice(at, 700) for at in range(0, count, 700)])
        expected: dict[tuple[str, str], tuple[int, float, int]] = {}
        for cell in table.to_pylist():
            key, rank = (cell["k1"], cell["k2"]), (cell["run_seq"], cell["at"], cell["row"])
            expected[key] = max(expected.get(key, rank), rank)
        found = latest_rows(chunked, ["k1", "k2"], ["run_seq", "at"])
        assert found["row"].to_pylist() == sorted(rank[2] for rank in expected.values())

    def test_a_million_rows(self) -> None:
        """A sanity check: the time is printed, not asserted."""
        count = 1_000_000
        ids = [f"{n:064x}" for n in range(count // 2)] * 2
        table = pa.table(
            {
                "book_id": ids,
                "generation": pa.array(["g"] * count),
                "run_seq": np.repeat([1, 2], count // 2),
                "at": np.arange(count, dtype=float),
            }
        )
        began = time.perf_counter()
        found = latest_rows(table, ["generation", "book_id"], ["run_seq", "at"])
        print(f"latest() of {count:,} rows: {time.perf_counter() - began:.2f} s")
        assert len(found) == count // 2
        assert set(found["run_seq"].to_pylist()) == {2}


def test_equal_takes_no_nulls() -> None:
    table = pa.table({"a": ["x", None], "b": [1, 2]})
    assert equal(table, "a", "x")["b"].to_pylist() == [1]
    assert equal(table.slice(0, 1), "a", "x")["b"].to_pylist() == [1]
    assert len(equal(table.slice(1), "a", "x")) == 0
    assert len(equal(table.slice(0, 0), "a", "x")) == 0
