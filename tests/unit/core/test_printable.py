from __future__ import annotations

import json

import pytest

from raypipe.core.printable import escape_line, indent_lines, join_lines, to_json

HOSTILE = "a\x1b[2J\n2026-01-01 done\r\x9b1m\x7f\u2028\u202e\u2066\udc80\tz"


def test_control_characters_are_escaped() -> None:
    assert escape_line(HOSTILE) == (
        r"a\x1b[2J\n2026-01-01 done\r\x9b1m\x7f\u2028\u202e\u2066\udc80\tz"
    )


@pytest.mark.parametrize("text", ["Ünïcode 漢字 😀", "C:\\new", "", "a 'b' \"c\""])
def test_other_characters_are_kept(text: str) -> None:
    assert escape_line(text) == text
    assert escape_line(escape_line(HOSTILE + text)) == escape_line(HOSTILE + text)


def test_lines_keep_only_their_own_breaks() -> None:
    assert join_lines(["a\nb", "c"]) == "a\\nb\nc"


def test_the_lines_of_a_traceback_are_indented() -> None:
    assert indent_lines("Traceback\n  File\nValueError: \x1b") == (
        "    Traceback\n      File\n    ValueError: \\x1b"
    )


def test_json_is_escaped_and_unchanged_in_meaning() -> None:
    text = to_json({"key": HOSTILE + "漢"})
    assert text.isprintable()
    assert "漢" in text
    assert json.loads(text) == {"key": HOSTILE + "漢"}
