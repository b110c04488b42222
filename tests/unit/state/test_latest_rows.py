from __future__ import annotations

import time

import numpy as np
import pyarrow as pa

from raypipe.state.latest_rows import latest_rows


def test_keys_may_be_several_and_null() -> None:
    table = pa.table(
        {
            "a": ["x", "x", None, None, "y"],
            "b": ["1", "2", "1", "1", "1"],
            "run_seq": [5, 4, 3, 2, 1],
        }
    )
    assert latest_rows(table, ["a", "b"])["run_seq"].to_pylist() == [5, 4, 3, 1]


def test_result_equals_that_of_a_loop() -> None:
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
    latest = latest_rows(chunked, ["k1", "k2"], ["run_seq", "at"])
    assert latest["row"].to_pylist() == sorted(rank[2] for rank in expected.values())


def test_a_million_rows_are_handled() -> None:
    """The time is printed, not asserted."""
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
    latest = latest_rows(table, ["generation", "book_id"], ["run_seq", "at"])
    print(f"latest_rows() of {count:,} rows: {time.perf_counter() - began:.2f} s")
    assert len(latest) == count // 2
    assert set(latest["run_seq"].to_pylist()) == {2}
