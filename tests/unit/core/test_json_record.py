"""Records from JSON that is damaged or was edited by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from raypipe.core.json_record import read_record


@dataclass
class Cell:
    number: int
    text: str = ""
    share: float = 0.0
    held: bool = False
    code: int | None = None
    parts: dict[str, float] = field(default_factory=dict)
    more: Mapping[str, Any] = field(default_factory=dict)


def test_a_record_is_read() -> None:
    data = b'{"number": 3, "share": 1, "code": null, "parts": {"a": 2}, "more": {"b": [1]}}'
    assert read_record(Cell, data) == Cell(3, share=1, parts={"a": 2}, more={"b": [1]})


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"7",
        b"null",
        b"\xff",
        b"{}",
        b'{"number": "3"}',
        b'{"number": 3.5}',
        b'{"number": true}',
        b'{"number": 3, "held": 1}',
        b'{"number": 3, "text": null}',
        b'{"number": 3, "share": "1"}',
        b'{"number": 3, "share": NaN}',
        b'{"number": 3, "share": 1e999}',
        b'{"number": 3, "code": "4"}',
        b'{"number": 3, "parts": {"a": "2"}}',
        b'{"number": 3, "parts": []}',
        b'{"number": 3, "unknown": 1}',
        b"[" * 100_000,
    ],
)
def test_other_json_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - its text is that of many libraries
        read_record(Cell, data)
