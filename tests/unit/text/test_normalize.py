from __future__ import annotations

import textwrap
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.text.normalize import normalize_characters, unwrap

PROSE = (
    "The old keeper had not left the rock for eleven years, and when the boat came with flour "
    "and oil he spoke to the men as one speaks to gulls, kindly, and without waiting for a word. "
    "They thought him mad; he thought them hurried. Between these two opinions the lamp burned "
    "every night, and no ship was lost."
)
VERSE = (
    "The lamp is lit, the night is long,\n"
    "The gulls have gone to bed,\n"
    "And nothing answers to my song\n"
    "But water, grey as lead."
)


def test_characters_take_one_form() -> None:
    text = "\ufeffCafe\u0301\r\nsoft\u00adhyphen\x00\rnext\u200b\x0cpage\ud800"
    assert normalize_characters(text) == "Caf\u00e9\nsofthyphen\nnext\n\npage\ufffd"


@given(st.text(alphabet=st.characters()))
def test_any_text_becomes_nfc_that_utf8_can_hold(text: str) -> None:
    clean = normalize_characters(text)
    assert clean.encode().decode() == clean
    assert unicodedata.is_normalized("NFC", clean)
    assert not set(clean) & {"\x00", "\r", "\x0b", "\ufeff"}
    unwrap(clean)


@pytest.mark.parametrize("width", [50, 65, 75])
def test_wrapped_prose_becomes_one_line(width: int) -> None:
    wrapped = "\n\n".join([textwrap.fill(PROSE, width)] * 4)
    assert unwrap(wrapped) == "\n\n".join([PROSE] * 4)


def test_two_lines_of_talk_are_joined_though_a_name_begins_the_second() -> None:
    talk = "“And who may you be, to come at this hour,” asked the keeper of\nMarlow."
    text = f"{textwrap.fill(PROSE, 65)}\n\n{talk}"
    assert unwrap(text).endswith("asked the keeper of Marlow.")


def test_verse_in_prose_keeps_its_lines() -> None:
    wrapped = textwrap.fill(PROSE, 72)
    text = f"{wrapped}\n\n{textwrap.indent(VERSE, '    ')}\n\n\n{wrapped}"
    assert unwrap(text) == f"{PROSE}\n\n{VERSE}\n\n{PROSE}"


def test_a_book_of_verse_keeps_its_lines() -> None:
    assert unwrap("\n\n".join([VERSE] * 5)) == "\n\n".join([VERSE] * 5)


def test_a_play_keeps_speakers_on_their_lines() -> None:
    play = "KEEPER.\nWho is there?\nSAILOR.\nA friend, and wet."
    text = f"{textwrap.fill(PROSE, 72)}\n\n{play}"
    assert unwrap(text).endswith(play)


def test_a_narrower_quotation_is_joined_too() -> None:
    quotation = textwrap.indent(textwrap.fill(PROSE, 50), "        ")
    text = f"{textwrap.fill(PROSE * 3, 75)}\n\n{quotation}"
    assert unwrap(text).split("\n\n")[1] == PROSE


def test_a_file_with_a_paragraph_a_line_keeps_them() -> None:
    assert unwrap(f"{PROSE}\n{PROSE}\n{PROSE}") == f"{PROSE}\n{PROSE}\n{PROSE}"


def wrapped_between(first: str, second: str) -> str:
    """A paragraph whose first line ends with `first`, the next begins with `second`."""
    filler = "x" * (60 - len(first))
    return f"{filler} {first}\n{second} {'y' * (59 - len(second))}\nand so on to the end\n\n"


@pytest.mark.parametrize(
    ("first", "second", "elsewhere", "expected"),
    [
        ("light-", "house", "The lighthouse stood.", "lighthouse"),
        ("self-", "taught", "A self-taught man.", "self-taught"),
        ("well-", "known", "He knew well what is known.", "well-known"),
        ("encyclo-", "pedia", "", "encyclopedia"),
        ("Anglo-", "Saxon", "", "Anglo-Saxon"),
        ("stop--", "please", "", "stop--please"),
    ],
)
def test_words_broken_at_a_line_end(first: str, second: str, elsewhere: str, expected: str) -> None:
    text = wrapped_between(first, second) * 3 + elsewhere
    assert f" {expected} " in unwrap(text)


def test_marks_of_emphasis_go_and_names_with_underscores_stay() -> None:
    text = "She said _no, never_ and =meant= it; see file_name_x.\n\n[Illustration: The rock]"
    assert unwrap(text) == "She said no, never and meant it; see file_name_x.\n\nThe rock"


def test_emphasis_over_a_line_end() -> None:
    wrapped = textwrap.fill(PROSE.replace("kindly, and", "_kindly, and").replace("word.", "word._"))
    assert unwrap(wrapped) == PROSE


@pytest.mark.parametrize("hyphen", ["\u00ad", "\u2010", "\u00ac", "-"])
def test_other_hyphens_at_a_line_end(hyphen: str) -> None:
    text = wrapped_between(f"light{hyphen}", "house") * 3 + "The lighthouse stood."
    assert unwrap(normalize_characters(text)).count(" lighthouse ") == 4
    assert normalize_characters("light\u00adhouse") == "lighthouse"
