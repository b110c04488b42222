from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from raypipe.ledger.tombstones import Removals, without
from raypipe.state.store import open_state


def test_what_is_removed_and_what_is_back(tmp_path: Path) -> None:
    removals = Removals(open_state(str(tmp_path)))
    assert removals.standing() == set()
    removals.append({"a": "a.txt", "b": "b.txt", "c": "c.txt"}, 2)
    removals.take_back(["b"], 3)
    assert removals.standing() == {"a", "c"}
    removals.append({"b": "b.txt"}, 4)
    removals.take_back(["c"], 4)
    assert removals.standing() == {"a", "b"}


def test_nothing_is_written_of_nothing(tmp_path: Path) -> None:
    removals = Removals(open_state(str(tmp_path)))
    removals.append({}, 2)
    removals.take_back([], 2)
    assert not list(tmp_path.rglob("*.parquet"))


def test_a_table_without_some_books() -> None:
    table = pa.table({"book_id": ["a", "b", "c"]})
    assert without(table, {"b", "x"})["book_id"].to_pylist() == ["a", "c"]
    assert without(table, set()) is table
