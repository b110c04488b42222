"""Read the numbers in headings: IV, 4, four, the fourth, in a few languages."""

from __future__ import annotations

import re

_ROMAN = {"i": 1, "v": 5, "x": 10, "l": 50, "c": 100, "d": 500, "m": 1000}
_ROMAN_FORM = re.compile(r"m{0,3}(?:cm|cd|d?c{0,4})(?:xc|xl|l?x{0,4})(?:ix|iv|v?i{0,4})")
_UNITS = [
    "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
    "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
]  # fmt: skip
_ORDINALS = [
    "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth",
    *(f"{unit}th" for unit in _UNITS[10:11]), "twelfth", *(f"{unit}th" for unit in _UNITS[12:]),
]  # fmt: skip
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_TENTHS = [f"{ten[:-1]}ieth" for ten in _TENS]
_OTHER_LANGUAGES = {
    **dict.fromkeys(("premier", "première", "erste", "erster", "erstes", "primero", "primera"), 1),
    **dict.fromkeys(("deuxième", "seconde", "zweite", "zweiter", "zweites", "segundo"), 2),
    **dict.fromkeys(("troisième", "dritte", "dritter", "drittes", "tercero", "tercera"), 3),
    **dict.fromkeys(("quatrième", "vierte", "vierter", "viertes", "cuarto", "cuarta"), 4),
    **dict.fromkeys(("cinquième", "fünfte", "fünfter", "fünftes", "quinto", "quinta"), 5),
    **dict.fromkeys(("primo", "prima"), 1),
    **dict.fromkeys(("segunda", "secondo", "seconda"), 2),
    **dict.fromkeys(("terzo", "terza"), 3),
}
_WORDS = {
    **{word: index + 1 for index, word in enumerate(_UNITS)},
    **{word: index + 1 for index, word in enumerate(_ORDINALS)},
    **{word: 10 * index + 20 for index, word in enumerate(_TENS)},
    **{word: 10 * index + 20 for index, word in enumerate(_TENTHS)},
    **_OTHER_LANGUAGES,
}
_COMPOUND = rf"(?:{'|'.join(_TENS)})[- ](?:{'|'.join(_UNITS[:9] + _ORDINALS[:9])})"

NUMBER = rf"(?:\d{{1,3}}|{_COMPOUND}|{'|'.join(sorted(_WORDS, key=len, reverse=True))}|[ivxlcdm]+)"
"""Pattern of a number, to be compiled with `re.IGNORECASE`; `parse_number` reads its matches."""


def parse_number(text: str) -> int:
    """Return the number; 0 for letters that are not a number, such as `ic` or `vv`."""
    text = text.lower()
    if text.isdigit():
        return int(text)
    parts = re.split(r"[- ]", text)
    if all(part in _WORDS for part in parts):
        return sum(_WORDS[part] for part in parts)
    return _parse_roman(text)


def _parse_roman(text: str) -> int:
    if not _ROMAN_FORM.fullmatch(text):
        return 0
    values = [_ROMAN[letter] for letter in text]
    next_values = [*values[1:], 0]
    return sum(
        -value if value < next_value else value
        for value, next_value in zip(values, next_values, strict=True)
    )
