from __future__ import annotations

import textwrap

import pytest

from raypipe.text.double_spacing import close_double_spacing

PROSE = (
    "The old keeper of the lighthouse wrote down every ship that passed, and when the boat came "
    "with flour and oil he spoke to the men as one speaks to gulls, kindly, and without waiting."
)
BOOK = "\n\n".join([textwrap.fill(PROSE, 60)] * 12)


@pytest.mark.parametrize("empty", ["\n\n", "\n \n", "\n\t \n"])
def test_an_empty_line_after_each_line_is_removed(empty: str) -> None:
    assert close_double_spacing(BOOK.replace("\n", empty)) == BOOK


@pytest.mark.parametrize(
    "text",
    [
        BOOK,
        "\n\n".join([PROSE] * 30),
        "\n\n".join(["“Where is it?”", "“At sea.”", "He laughed."] * 30),
        "The Sea\n\n" + "\n\n".join(["O come away", "The lamp is lit", "And day is done"] * 9),
        "a\n\nb",
    ],
)
def test_paragraphs_and_single_spaced_lines_stay(text: str) -> None:
    assert close_double_spacing(text) == text
