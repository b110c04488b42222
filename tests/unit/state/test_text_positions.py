"""Texts are found as Arrow finds them, also where ids begin with the same digits."""

from __future__ import annotations

import hashlib

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raypipe.state.latest_rows import latest_rows
from raypipe.state.text_positions import digest, index_in
from raypipe.state.version_index import find_versions

IDS = [hashlib.sha256(str(n).encode()).hexdigest() for n in range(6)]
# The last two begin as the first.
TEXTS = st.sampled_from([*IDS, IDS[0][:60] + "0000", IDS[0][:60] + "1111"])
ROWS = st.lists(st.tuples(TEXTS, st.sampled_from("12"), st.integers(0, 3)), max_size=12)


def chunked(texts: list[str], cut: int) -> pa.ChunkedArray:
    whole = pa.array(["x" * 64, *texts], pa.string())[1:]  # a slice: its buffer has another text
    return pa.chunked_array([whole[:cut], whole[cut:]])


@settings(deadline=None)
@given(st.lists(TEXTS, max_size=8), st.lists(TEXTS, max_size=8), st.integers(0, 4))
def test_positions_are_those_of_the_first_equal_text(
    texts: list[str], values: list[str], cut: int
) -> None:
    expected = [values.index(text) if text in values else -1 for text in texts]
    assert index_in(chunked(texts, cut), chunked(values, cut)).tolist() == expected


@settings(deadline=None)
@given(ROWS, ROWS, st.integers(0, 4))
def test_versions_are_found_among_all_versions_of_a_book(
    recorded: list[tuple[str, str, int]], books: list[tuple[str, str, int]], cut: int
) -> None:
    versions = [row[:2] for row in recorded]
    expected = [versions.index(row[:2]) if row[:2] in versions else -1 for row in books]
    assert find_versions(table(recorded, cut), table(books, cut)).tolist() == expected


@settings(deadline=None)
@given(ROWS, st.integers(0, 4))
def test_the_last_row_of_each_key_is_that_of_a_loop(
    rows: list[tuple[str, str, int]], cut: int
) -> None:
    last: dict[str, tuple[int, int]] = {}
    for position, (book_id, _, run_seq) in enumerate(rows):
        last[book_id] = max(last.get(book_id, (-1, -1)), (run_seq, position))
    found = latest_rows(table(rows, cut), ["run_seq", "book_id"][1:], ["run_seq"])
    assert found["row"].to_pylist() == sorted(position for _, position in last.values())


def table(rows: list[tuple[str, str, int]], cut: int) -> pa.Table:
    return pa.table(
        {
            "book_id": chunked([row[0] for row in rows], cut),
            "etag": chunked([row[1] for row in rows], cut),
            "run_seq": pa.array([row[2] for row in rows], pa.int64()),
            "row": pa.array(range(len(rows)), pa.int64()),
        }
    )


@pytest.mark.parametrize(
    "texts", [["a"], [IDS[0], "ä" * 32], [IDS[0], None], [IDS[0], IDS[0] + "0"], ["x" * 32] * 2]
)
def test_other_texts_have_no_digest(texts: list[str | None]) -> None:
    column = pa.chunked_array([pa.array(texts, pa.string())])
    assert (digest(column) is None) == (texts[1:] != ["ä" * 32])
    assert index_in(column, column).tolist()[0] == 0


def test_an_order_column_may_be_a_key() -> None:
    rows = pa.table({"run_seq": [1, 1, 2], "book_id": [IDS[0], IDS[0], IDS[0]]})
    assert latest_rows(rows, ["run_seq", "book_id"])["run_seq"].to_pylist() == [1, 2]
