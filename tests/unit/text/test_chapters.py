from __future__ import annotations

import pytest

from raypipe.text.chapters import Chapter, find_chapters

PROSE = "The keeper lit the lamp and went down to the sea, where the boats lay.\n\n" * 20
SHORT = "The keeper lit the lamp and went down to the sea.\n\n"
STANZA = "The lamp is lit, the night is long,\nThe gulls have gone to bed,\n\n"
ROMAN = ["I", "II", "III", "IV", "V"]


def book(headings: list[str], text: str = PROSE, front: str = "") -> str:
    return (front + "".join(f"{heading}\n\n{text}" for heading in headings)).strip()


def titles(text: str, listed: tuple[str, ...] = ()) -> list[str]:
    return [chapter.title for chapter in find_chapters(text, listed)]


def assert_chapters_cover(text: str, chapters: tuple[Chapter, ...]) -> None:
    assert chapters[0].start == 0
    assert chapters[-1].end == len(text)
    assert "".join(text[chapter.start : chapter.end] for chapter in chapters) == text


@pytest.mark.parametrize(
    "headings",
    [
        [f"CHAPTER {number}" for number in ROMAN],
        [f"Chapter {number}." for number in (1, 2, 3)],
        ["CHAPTER THE FIRST", "CHAPTER THE SECOND", "CHAPTER THE THIRD"],
        ["Chapter One", "Chapter Two", "Chapter Three"],
        ["CHAPTER I. The Boat", "CHAPTER II. The Lamp", "CHAPTER III. Who Rowed?"],
        ["CHAPTER I: THE BOAT", "CHAPTER II: THE LAMP", "CHAPTER III: THE STORM"],
        ["CHAPTER I--The Boat", "CHAPTER II--The Lamp", "CHAPTER III--The Storm"],
        ["CHAPTER I\nTHE BOAT", "CHAPTER II\nTHE LAMP", "CHAPTER III\nTHE STORM"],
        ["Chap. I.", "Chap. II.", "Chap. III."],
        ["*CHAPTER I*", "*CHAPTER II*", "*CHAPTER III*"],
        ["BOOK I", "BOOK II", "BOOK III"],
        ["The First Book", "The Second Book", "The Third Book"],
        ["PART ONE", "PART TWO", "PART THREE"],
        ["ACT I", "ACT II", "ACT III"],
        ["LETTER I", "LETTER II", "LETTER III"],
        ["LETTER THE FIRST", "LETTER THE SECOND", "LETTER THE THIRD"],
        ["CANTO THE FIRST", "CANTO THE SECOND", "CANTO THE THIRD"],
        ["STAVE ONE", "STAVE TWO", "STAVE THREE"],
        ["SECTION 1", "SECTION 2", "SECTION 3"],
        ["Chapitre premier", "Chapitre II", "Chapitre III"],
        ["Erstes Kapitel", "Zweites Kapitel", "Drittes Kapitel"],
        ["Capítulo primero", "Capítulo II", "Capítulo III"],
        ["I", "II", "III", "IV"],
        ["I.", "II.", "III."],
        ["1", "2", "3"],
        ["1. How One Hires a Boat", "2. How One Rows", "3. How One Drowns"],
        ["I. THE BOAT", "II. THE LAMP", "III. THE STORM"],
        ["I The Boat", "II The Lamp", "III The Storm"],
    ],
)
def test_finds_all_forms_of_headings(headings: list[str]) -> None:
    text = book(headings, front="THE ROCK\n\nby Ada Keeper\n\n")
    chapters = find_chapters(text)
    assert_chapters_cover(text, chapters)
    assert len(chapters) == len(headings)
    clean = [" ".join(heading.strip("*").split()) for heading in headings]
    assert [chapter.title for chapter in chapters] == clean


def test_the_title_below_a_bare_heading_is_part_of_the_chapter_title() -> None:
    text = book(["I\n\nTHE BOAT", "II\n\nThe Lamp", "III\n\n“A Storm”", "IV\n\nI RIDE A HORSE"])
    expected = ["I. THE BOAT", "II. The Lamp", "III. “A Storm”", "IV. I RIDE A HORSE"]
    assert titles(text) == expected


def test_a_first_sentence_is_not_a_title() -> None:
    text = book(["CHAPTER I\n\nIt was night.", "CHAPTER II\n\nand day,", "CHAPTER III"])
    assert titles(text) == ["CHAPTER I", "CHAPTER II", "CHAPTER III"]


def test_books_are_split_at_their_chapters() -> None:
    headings = ["BOOK I\n\nCHAPTER I", "CHAPTER II", "BOOK II\n\nCHAPTER I", "CHAPTER II"]
    text = book(headings)
    expected = ["BOOK I CHAPTER I", "CHAPTER II", "BOOK II CHAPTER I", "CHAPTER II"]
    assert titles(text) == expected


def test_acts_are_split_at_their_scenes() -> None:
    scenes = [
        "ACT I\n\nSCENE I. A rock.",
        "SCENE II. The sea.",
        "ACT II\n\nSCENE I. A boat.",
        "SCENE II",
    ]
    play = book(scenes, "KEEPER. Who is there?\n\nSAILOR. A friend, and wet.\n\n" * 20)
    assert titles(play)[0] == "ACT I SCENE I. A rock."
    assert len(find_chapters(play)) == 4


def test_parts_are_split_at_bare_numerals() -> None:
    text = book(["PART ONE\n\nI", "II", "III", "PART TWO\n\nI", "II", "III"])
    assert len(find_chapters(text)) == 6


def test_letters_inside_chapters_are_not_chapters() -> None:
    text = book(["CHAPTER I", "LETTER I", "LETTER II", "CHAPTER II", "LETTER III", "CHAPTER III"])
    assert titles(text) == ["CHAPTER I", "CHAPTER II", "CHAPTER III"]


def test_preface_and_footnotes_are_chapters() -> None:
    text = book(["PREFACE", "CHAPTER I", "CHAPTER II", "Epilogue", "FOOTNOTES:"])
    assert titles(text) == ["PREFACE", "CHAPTER I", "CHAPTER II", "Epilogue", "FOOTNOTES:"]


def test_a_long_front_part_without_heading_has_no_title() -> None:
    text = book(["CHAPTER I", "CHAPTER II"], front=PROSE)
    chapters = find_chapters(text)
    assert_chapters_cover(text, chapters)
    assert [chapter.title for chapter in chapters] == ["", "CHAPTER I", "CHAPTER II"]


def test_a_remaining_table_of_contents_has_no_chapters() -> None:
    text = "CHAPTER I\n\nCHAPTER II\n\nCHAPTER III\n\n" + book(
        ["CHAPTER I", "CHAPTER II", "CHAPTER III"]
    )
    assert titles(text) == ["CHAPTER I", "CHAPTER II", "CHAPTER III"]
    assert_chapters_cover(text, find_chapters(text))


def test_finds_the_works_of_an_anthology_by_listed_titles() -> None:
    works = ("The Boat", "A Lamp", "“The Storm”")
    text = book([work.upper() for work in works])
    assert find_chapters(text) == ()
    assert titles(text, works) == [work.upper() for work in works]
    talk = f"{text}\n\n“The boat.”\n\n{PROSE}\n\n“The storm,”\n\n{PROSE}"
    assert titles(talk, works) == [work.upper() for work in works]
    assert titles(f"“The boat.”\n\n{text}", works)[0] == "THE BOAT"
    parted = book(["THE BOAT\n\nI", "II", "A LAMP", "THE STORM\n\nI", "II"])
    assert titles(parted, works) == ["THE BOAT I", "II", "A LAMP", "THE STORM I", "II"]


def test_listed_titles_do_not_split_a_numbered_chapter() -> None:
    expected = ["CHAPTER I. The Boat", "CHAPTER II. A Lamp", "CHAPTER III. The Lamp"]
    text = book(
        ["CHAPTER I\n\nThe Boat", "CHAPTER II\n\nA Lamp", "A Boat", "CHAPTER III\n\nThe Lamp"]
    )
    assert titles(text, ("The Boat", "A Lamp", "A Boat", "The Lamp")) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        PROSE,
        book(["PREFACE", "INTRODUCTION"]),
        book(list("ABCDEFGHIJKLMNOPQRSTUVWXYZ")),
        book(list("CDILMVX")),
        book([*ROMAN, "VI", "VII"], STANZA * 4),
        book([f"{number}. Wash your hands." for number in range(1, 20)], SHORT),
        book([f"{number}. Wash your hands" for number in range(1, 20)], ""),
        book(["CHAPTER I"]),
        book(["Chapter 7", "Chapter 3", "Chapter 19", "Chapter 4"]),
        book(["Part one of the plan failed.", "Part two of the plan failed too."]),
        book(["Letter I wrote to you", "Letter II wrote to you"]),
        book(["I", "I", "I", "I"]),
        book(["7", "8", "9", "10"]),
        book(["1861", "1862", "1863"]),
        book(["KEEPER.", "SAILOR.", "KEEPER."], SHORT),
    ],
)
def test_texts_without_chapters(text: str) -> None:
    assert find_chapters(text) == ()


def test_cantos_with_numbered_stanzas_are_split_at_the_cantos() -> None:
    canto = "".join(f"{numeral}\n\n{STANZA}" for numeral in ROMAN * 4)
    assert titles(book(["CANTO I", "CANTO II"], canto)) == ["CANTO I", "CANTO II"]


def test_a_second_volume_may_begin_with_a_later_chapter() -> None:
    assert len(find_chapters(book(["CHAPTER XX", "CHAPTER XXI", "CHAPTER XXII"]))) == 3
