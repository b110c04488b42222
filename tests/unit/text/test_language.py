from __future__ import annotations

import pytest

from raypipe.text.language import detect_language, parse_language_code

ENGLISH = "The keeper lit the lamp and went down the stairs to look at the sea. "
GERMAN = "Der alte Wärter zündete die Lampe an und ging hinunter, um das Meer zu sehen. "
FRENCH = "Le vieux gardien alluma la lampe et descendit l'escalier pour regarder la mer. "


@pytest.mark.parametrize(("text", "code"), [(ENGLISH, "en"), (GERMAN, "de"), (FRENCH, "fr")])
def test_detects_the_language(text: str, code: str) -> None:
    assert detect_language(text * 200) == code
    assert detect_language(text) == code


def test_a_foreign_preface_is_outvoted() -> None:
    assert detect_language(FRENCH * 60 + ENGLISH * 300) == "en"


def test_the_declared_language_counts_only_if_the_vote_is_unsure() -> None:
    assert detect_language(GERMAN * 100, "English") == "de"
    assert detect_language("12 34 56 x " * 9, "English") == "en"
    assert detect_language("12 34 56 x " * 9) == "und"


def test_the_text_outvotes_a_wrong_header() -> None:
    assert detect_language("1 2 3 4 " * 300 + GERMAN * 300, "English") == "de"


@pytest.mark.parametrize(
    ("name", "code"),
    [("English", "en"), ("German, French", "de"), ("en-GB", "en"), ("FR", "fr"), ("Klingon", "")],
)
def test_parses_names_and_codes(name: str, code: str) -> None:
    assert parse_language_code(name) == code
