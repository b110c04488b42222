from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from raypipe.core.book import Book
from raypipe.core.book_table import BookTable, is_one_of
from raypipe.core.errors import SetupError

BOOKS = [Book(f"{n}", f"ä/{n}.txt", f"e{n}", n, n + 0.5) for n in range(25_000)]


def test_books_are_those_that_were_given_in_their_order() -> None:
    table = BookTable.of(iter(BOOKS))
    assert (len(table), list(table)) == (len(BOOKS), BOOKS)
    assert BookTable.of(table) is table


def test_positions_and_slices_are_those_of_a_list() -> None:
    table = BookTable.of(BOOKS)
    assert (table[3], table[-1]) == (BOOKS[3], BOOKS[-1])
    for part in (slice(9_990, 10_010), slice(None, 2), slice(24_999, None), slice(7, 3)):
        assert list(table[part]) == BOOKS[part]
    assert list(table[10:0:-3]) == BOOKS[10:0:-3]
    with pytest.raises(IndexError):
        table[len(BOOKS)]


def test_planned_columns_are_fields_of_the_books() -> None:
    table = BookTable.of(BOOKS[:2]).append_column("attempts", pa.array([0, 2], pa.int32()))
    table = table.append_column("part", pa.array(["r/p", ""]))
    assert [(book.attempts, book.part) for book in table] == [(0, "r/p"), (2, "")]


def test_a_filter_keeps_the_order() -> None:
    table = BookTable.of(BOOKS[:4])
    chosen = table.filter(is_one_of(table.book_ids, ["3", "1", "x"]))
    assert [book.book_id for book in chosen] == ["1", "3"]
    assert not BookTable.of([])


def test_half_a_surrogate_pair_is_replaced() -> None:
    assert BookTable.of([Book("a", "\udc80.txt", "e", 1, 0.0)])[0].key == "?.txt"


@pytest.mark.parametrize("wrong", [{"size": 1 << 63}, {"size": "1"}, {"key": 5}, {"etag": b"\xff"}])
def test_a_field_of_another_type_is_one_line(wrong: dict[str, Any]) -> None:
    values: dict[str, Any] = {"book_id": "a", "key": "a", "etag": "e", "size": 1, "modified": 0.0}
    with pytest.raises(SetupError, match="field of the wrong type") as caught:
        BookTable.of([Book(**{**values, **wrong})])
    assert "\n" not in str(caught.value)
