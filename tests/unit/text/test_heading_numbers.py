from __future__ import annotations

import re

import pytest

from raypipe.text.heading_numbers import NUMBER, parse_number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("7", 7),
        ("XC", 90),
        ("xlviii", 48),
        ("IIII", 4),
        ("MCMIX", 1909),
        ("One", 1),
        ("Twelfth", 12),
        ("Forty-second", 42),
        ("twenty one", 21),
        ("Fiftieth", 50),
        ("Erstes", 1),
        ("troisième", 3),
    ],
)
def test_parses_numbers_in_headings(text: str, number: int) -> None:
    assert parse_number(text) == number
    assert re.fullmatch(NUMBER, text, re.I) or number > 1_000


@pytest.mark.parametrize("text", ["ic", "vv", "iix", "mild", "civil"])
def test_letters_that_are_not_a_number_give_zero(text: str) -> None:
    assert parse_number(text) == 0
