"""A value that is read again after some seconds."""

from __future__ import annotations

import pytest

from raypipe.core.timed_value import TimedValue


class Source:
    def __init__(self) -> None:
        self.now = 0.0
        self.reads = 0
        self.fails = False

    def read(self) -> int:
        if self.fails:
            raise ValueError("broken")
        self.reads += 1
        return self.reads


def test_a_value_is_read_again_when_it_is_too_old_or_cleared() -> None:
    source = Source()
    value = TimedValue(source.read, 10.0, lambda: source.now)
    assert [value.get(), value.get()] == [1, 1]
    source.now = 9.9
    assert value.get() == 1
    source.now = 10.0
    assert value.get() == 2
    value.clear()
    assert value.get() == 3


def test_zero_seconds_read_each_time() -> None:
    source = Source()
    value = TimedValue(source.read, 0.0, lambda: source.now)
    assert [value.get(), value.get()] == [1, 2]


def test_an_error_is_not_kept() -> None:
    source = Source()
    value = TimedValue(source.read, 10.0, lambda: source.now)
    source.fails = True
    with pytest.raises(ValueError, match="broken"):
        value.get()
    source.fails = False
    assert value.get() == 1
