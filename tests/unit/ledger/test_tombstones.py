from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from raypipe.ledger.tombstones import Tombstones, exclude_books
from raypipe.state.store import open_state


def test_what_is_removed_and_what_is_back(tmp_path: Path) -> None:
    removals = Tombstones(open_state(str(tmp_path)))
    assert removals.active() == set()
    removals.append({"a": "a.txt", "b": "b.txt", "c": "c.txt"}, 2)
    removals.restore(["b"], 3)
    assert removals.active() == {"a", "c"}
    removals.append({"b": "b.txt"}, 4)
    removals.restore(["c"], 4)
    assert removals.active() == {"a", "b"}


def test_nothing_is_written_of_nothing(tmp_path: Path) -> None:
    removals = Tombstones(open_state(str(tmp_path)))
    removals.append({}, 2)
    removals.restore([], 2)
    assert not list(tmp_path.rglob("*.parquet"))


def test_a_table_without_some_books() -> None:
    table = pa.table({"book_id": ["a", "b", "c"]})
    assert exclude_books(table, {"b", "x"})["book_id"].to_pylist() == ["a", "c"]
    assert exclude_books(table, set()) is table
