from __future__ import annotations

import textwrap

import pytest

from raypipe.text.normalize import normalize_characters
from raypipe.text.unwrap import unwrap_lines
from tests.benchmarks.encoding_texts import TEXTS

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


@pytest.mark.parametrize("width", [50, 65, 75])
def test_joins_wrapped_prose(width: int) -> None:
    wrapped = "\n\n".join([textwrap.fill(PROSE, width)] * 4)
    assert unwrap_lines(wrapped) == "\n\n".join([PROSE] * 4)


def test_joins_two_lines_of_dialog_though_a_name_begins_the_second() -> None:
    dialog = "“And who may you be, to come at this hour,” asked the keeper of\nMarlow."
    text = f"{textwrap.fill(PROSE, 65)}\n\n{dialog}"
    assert unwrap_lines(text).endswith("asked the keeper of Marlow.")


def test_keeps_the_lines_of_verse_in_prose() -> None:
    wrapped = textwrap.fill(PROSE, 72)
    text = f"{wrapped}\n\n{textwrap.indent(VERSE, '    ')}\n\n\n{wrapped}"
    assert unwrap_lines(text) == f"{PROSE}\n\n{VERSE}\n\n{PROSE}"


def test_keeps_the_lines_of_a_book_of_verse() -> None:
    assert unwrap_lines("\n\n".join([VERSE] * 5)) == "\n\n".join([VERSE] * 5)


def test_keeps_speakers_of_a_play_on_separate_lines() -> None:
    play = "KEEPER.\nWho is there?\nSAILOR.\nA friend, and wet."
    text = f"{textwrap.fill(PROSE, 72)}\n\n{play}"
    assert unwrap_lines(text).endswith(play)


def test_joins_a_narrower_quotation() -> None:
    quotation = textwrap.indent(textwrap.fill(PROSE, 50), "        ")
    text = f"{textwrap.fill(PROSE * 3, 75)}\n\n{quotation}"
    assert unwrap_lines(text).split("\n\n")[1] == PROSE


def test_keeps_lines_that_are_whole_paragraphs() -> None:
    assert unwrap_lines(f"{PROSE}\n{PROSE}\n{PROSE}") == f"{PROSE}\n{PROSE}\n{PROSE}"


def wrapped_between(first: str, second: str) -> str:
    """Return a paragraph with `first` at the end of a line and `second` at the next start."""
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
def test_joins_words_broken_at_the_end_of_a_line(
    first: str, second: str, elsewhere: str, expected: str
) -> None:
    text = wrapped_between(first, second) * 3 + elsewhere
    assert f" {expected} " in unwrap_lines(text)


def test_removes_emphasis_marks_and_keeps_names_with_underscores() -> None:
    text = "She said _no, never_ and =meant= it; see file_name_x.\n\n[Illustration: The rock]"
    assert unwrap_lines(text) == "She said no, never and meant it; see file_name_x.\n\nThe rock"


def test_removes_emphasis_marks_across_lines() -> None:
    wrapped = textwrap.fill(PROSE.replace("kindly, and", "_kindly, and").replace("word.", "word._"))
    assert unwrap_lines(wrapped) == PROSE


@pytest.mark.parametrize("hyphen", ["\u00ad", "\u2010", "\u00ac", "-"])
def test_joins_words_broken_with_other_hyphens(hyphen: str) -> None:
    text = wrapped_between(f"light{hyphen}", "house") * 3 + "The lighthouse stood."
    assert unwrap_lines(normalize_characters(text)).count(" lighthouse ") == 4


def test_keeps_verse_whose_lines_begin_with_small_letters() -> None:
    stanza = (
        "kun aamu nousi suon takaa eikä kukaan nähnyt\nsiellä missä joki kääntyy ja kylä nukkuu\n"
        "hän lauloi vanhaa laulua jonka äiti opetti\nja tuuli vei sen sanat kaislikon keskelle"
    )
    verse = "SUON LAULUJA\n\n" + "\n\n".join([stanza] * 8)
    assert unwrap_lines(verse) == verse


def test_joins_a_prose_preface_of_a_book_of_such_verse() -> None:
    stanza = "the sea is grey and the day is long\nand nobody comes to the door at night"
    preface = textwrap.fill(PROSE, 70)
    text = "\n\n".join([preface, *[f"{stanza}\n{stanza}"] * 9])
    assert unwrap_lines(text).startswith(PROSE)
    assert unwrap_lines(text).endswith(stanza)


@pytest.mark.parametrize("language", ["he", "ar"])
def test_joins_wrapped_prose_of_scripts_without_capitals(language: str) -> None:
    prose = TEXTS[language]
    assert unwrap_lines("\n\n".join([textwrap.fill(prose, 60)] * 5)) == "\n\n".join([prose] * 5)


@pytest.mark.parametrize("language", ["ja", "zh-hans"])
def test_joins_wrapped_prose_of_scripts_without_spaces(language: str) -> None:
    prose = TEXTS[language]
    wrapped = "\n".join(prose[start : start + 30] for start in range(0, len(prose), 30))
    assert unwrap_lines("\n\n".join([wrapped] * 5)) == "\n\n".join([prose] * 5)


def test_keeps_short_lines_of_scripts_without_spaces() -> None:
    verse = "床前明月光\n疑是地上霜\n舉頭望明月\n低頭思故鄉"
    assert unwrap_lines("\n\n".join([verse] * 5)) == "\n\n".join([verse] * 5)


def test_keeps_verse_without_stanzas_and_stops() -> None:
    lines = ["the sea is grey and the day is long", "and nobody comes to the door at night"] * 9
    assert unwrap_lines("\n".join(lines)) == "\n".join(lines)
