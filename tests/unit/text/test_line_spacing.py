from __future__ import annotations

import textwrap

import pytest

from raypipe.text.line_spacing import close_double_spacing, has_wrapped_lines, separate_paragraphs

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


@pytest.mark.parametrize("indent", ["    ", "\t\t", "  "])
def test_indented_lines_begin_paragraphs_where_no_line_is_empty(indent: str) -> None:
    paragraphs = [textwrap.fill(f"{indent}{PROSE}", 60) for _ in range(9)]
    assert separate_paragraphs("\n".join(paragraphs)) == "\n\n".join(paragraphs)


def test_short_lines_that_end_a_sentence_end_paragraphs_where_no_line_is_empty() -> None:
    paragraphs = [textwrap.fill(PROSE, 60) for _ in range(9)]
    assert separate_paragraphs("\n".join(paragraphs)) == "\n\n".join(paragraphs)


@pytest.mark.parametrize(
    "text",
    [BOOK, "\n".join([PROSE] * 30), "\n".join(["O come away", "The lamp is lit,"] * 30), "a\nb"],
)
def test_texts_with_empty_lines_and_verse_stay(text: str) -> None:
    assert separate_paragraphs(text) == text


def test_lines_of_most_of_a_text_are_wrapped_or_none_are() -> None:
    assert has_wrapped_lines(BOOK)
    assert not has_wrapped_lines("\n\n".join([PROSE] * 12))
    assert not has_wrapped_lines("\n\n".join([PROSE] * 40 + BOOK.split("\n\n")[:9]))
    assert not has_wrapped_lines("\n\n".join(["the lamp is lit\nand day is done"] * 30))
