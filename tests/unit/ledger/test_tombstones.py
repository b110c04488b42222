from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from raypipe.ledger.tombstones import Tombstones, exclude_books
from raypipe.state.factory import open_state


def test_books_are_deleted_and_restored(tmp_path: Path) -> None:
    tombstones = Tombstones(open_state(str(tmp_path)))
    assert tombstones.renames().keys() == set()
    tombstones.append({"a": "a.txt", "b": "b.txt", "c": "c.txt"}, 2)
    tombstones.restore(["b"], 3)
    assert tombstones.renames().keys() == {"a", "c"}
    tombstones.append({"b": "b.txt"}, 4)
    tombstones.restore(["c"], 4)
    assert tombstones.renames().keys() == {"a", "b"}


def test_without_books_nothing_is_written(tmp_path: Path) -> None:
    tombstones = Tombstones(open_state(str(tmp_path)))
    tombstones.append({}, 2)
    tombstones.restore([], 2)
    assert not list(tmp_path.rglob("*.parquet"))


def test_excluded_books_are_left_out_of_a_table() -> None:
    table = pa.table({"book_id": ["a", "b", "c"]})
    assert exclude_books(table, {"b", "x"})["book_id"].to_pylist() == ["a", "c"]
    assert exclude_books(table, set()) is table
