"""Merges shrink by half on each level and leave a single merge."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.core.errors import BookError
from raypipe.summarizers.llm.merge_levels import plan_merges, split_evenly


@given(st.integers(1, 3_000), st.integers(5, 20))
def test_levels_shrink_by_half_and_leave_a_single_merge(parts: int, max_parts: int) -> None:
    below = parts
    for sizes in plan_merges(parts, max_parts):
        assert sum(sizes) == below
        assert max(sizes) <= max_parts
        assert max(sizes) - min(sizes) <= 1
        assert len(sizes) <= (below + 1) // 2
        below = len(sizes)
    assert below <= max_parts


def test_examples_of_levels() -> None:
    assert plan_merges(12, 12) == ()
    assert plan_merges(49, 12) == ((10, 10, 10, 10, 9),)
    assert [len(sizes) for sizes in plan_merges(400, 12)] == [34, 3]
    assert split_evenly(7, 3) == [3, 2, 2]


def test_too_many_levels_fail() -> None:
    with pytest.raises(BookError, match=r"raise summarizer.fan_in") as caught:
        plan_merges(500, 2)
    assert caught.value.kind == "too_large"
