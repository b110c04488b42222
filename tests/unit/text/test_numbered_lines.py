from __future__ import annotations

import pytest

from raypipe.text.numbered_lines import group_numbered_lines, has_numbered_lines, may_be_head


def test_lines_are_grouped_by_their_words() -> None:
    lines = [
        "THE FLOOD  12",
        "13 The Flood",
        "He had 3 geese.",
        "- 14 -",
        "Page 15 of 90",
        "xiv",
        "X",
    ]
    groups = group_numbered_lines(lines)
    assert [line.number for line in groups["the flood"]] == [12, 13]
    assert [(line.place, line.number) for line in groups[""]] == [(3, 14), (4, 15)]
    assert [line.number for key, group in groups.items() if key == " " for line in group] == [14]
    assert sum(map(len, groups.values())) == 5


@pytest.mark.parametrize(("line", "is_found"), [("THE FLOOD {}", True), ("CHAPTER {}", False)])
def test_a_text_with_numbered_lines_is_found(line: str, is_found: bool) -> None:
    text = "\n".join(f"{line.format(number)}\nwords" for number in range(6))
    assert has_numbered_lines(text) == is_found


def test_a_heading_alone_is_no_running_head() -> None:
    assert not may_be_head("chapter")
    assert not may_be_head("act scene")
    assert may_be_head("chapter the first")
    assert may_be_head("")
