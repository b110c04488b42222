from __future__ import annotations

import pytest

from raypipe.text.alphabets import common_letters_of, has_latin_letters, is_known, letters_of
from tests.benchmarks.encoding_texts import TEXTS

# Languages without a code page, or whose encodings are recognized by characters, not letters.
EAST_ASIAN = {"ja", "ko", "zh-hans", "zh-hant"}


@pytest.mark.parametrize("language", sorted(set(TEXTS) - EAST_ASIAN))
def test_the_letters_of_a_text_are_in_its_alphabet(language: str) -> None:
    assert is_known(language)
    text = TEXTS[language]
    letters = {char for char in text + text.upper() if char.isalpha() and char > "\x7f"}
    assert letters <= letters_of(language)


@pytest.mark.parametrize("language", ["ru", "uk", "bg", "sr", "be", "el", "he", "ar", "fa", "th"])
def test_common_letters_are_half_of_a_text(language: str) -> None:
    assert not has_latin_letters(language)
    letters = [char for char in TEXTS[language] if char in letters_of(language)]
    common = [char for char in letters if char in common_letters_of(language)]
    assert len(common) > 0.45 * len(letters)


def test_an_unknown_language_has_western_letters() -> None:
    assert not is_known("xx")
    assert "é" in letters_of("xx")
    assert not common_letters_of("xx")
