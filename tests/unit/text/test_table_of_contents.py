from __future__ import annotations

from collections.abc import Callable

import pytest

from raypipe.text.table_of_contents import remove_contents

PROSE = (
    "The keeper lit the lamp and went down to the sea, where the boats lay and the\n"
    "men were waiting for him with their caps in their hands and nothing to say.\n"
    "He asked for the oil, and for the flour; they gave him both, and a letter.\n"
)
STANZA = "O roll the barrel, roll,\nThe wind is in the west,\nO roll the barrel, roll,\nAnd rest.\n"
CHAPTERS = [f"CHAPTER {numeral}" for numeral in ("I", "II", "III", "IV", "V", "VI")]
NAMES = ["The Boat", "The Lamp", "The Storm", "The Wreck", "The Letter", "The End of It"]
BOTH = [f"{chapter}. {name}" for chapter, name in zip(CHAPTERS, NAMES, strict=True)]
PAGES = [1, 15, 29, 43, 143, 310]
EntryForm = Callable[[str, int], str]


def book(headings: list[str], text: str = PROSE * 4) -> str:
    return "\n\n\n\n".join(f"{heading}\n\n{text}" for heading in headings)


def table(form: EntryForm, entries: list[str], glue: str = "\n") -> str:
    return glue.join(form(entry, page) for entry, page in zip(entries, PAGES, strict=True))


def assert_removed(contents: str, rest: str) -> None:
    """Assert that the table is removed and everything else is kept."""
    front = "THE ROCK\n\nby Ada Keeper"
    text = f"{front}\n\n\n\n{contents}\n\n\n\n{rest}"
    assert remove_contents(text).body == f"{front}\n\n\n\n{rest}"


@pytest.mark.parametrize(
    "form",
    [
        lambda entry, page: f"   {entry}          {page}",
        lambda entry, page: f"{entry} . . . . . . {page}",
        lambda entry, page: f"{entry}.........{page}",
        lambda entry, page: f"{entry}, {page}",
        lambda entry, page: f"{entry}\t{page}",
        lambda entry, page: f"{entry}  xii",
        lambda entry, page: f"{entry} and so on and so on\n     to the end of that      {page}",
    ],
)
@pytest.mark.parametrize("glue", ["\n", "\n\n"])
def test_removes_tables_with_pages(form: EntryForm, glue: str) -> None:
    rest = book(
        [f"{chapter}\n\n{name.upper()}" for chapter, name in zip(CHAPTERS, NAMES, strict=True)]
    )
    assert_removed(f"CONTENTS\n\nCHAP.      PAGE\n\n{table(form, BOTH, glue)}", rest)


@pytest.mark.parametrize(
    ("entries", "headings"),
    [
        (CHAPTERS, CHAPTERS),
        (BOTH, BOTH),
        (NAMES, [f"{number}\n\n{name}" for number, name in enumerate(NAMES, 1)]),
        (
            BOTH,
            [f"{chapter}\n\n{name.upper()}" for chapter, name in zip(CHAPTERS, NAMES, strict=True)],
        ),
        ([f" {number} {name}" for number, name in enumerate(NAMES, 1)], NAMES),
        (
            [f"Chapter {number}" for number in range(1, 31)],
            [f"Chapter {number}" for number in range(1, 31)],
        ),
    ],
)
@pytest.mark.parametrize("glue", ["\n", "\n\n"])
def test_removes_tables_without_pages(entries: list[str], headings: list[str], glue: str) -> None:
    assert_removed(f"CONTENTS\n\n\n{glue.join(entries)}", book(headings))


@pytest.mark.parametrize(
    "heading",
    ["CONTENTS.", "Contents", "TABLE OF CONTENTS", "_Contents_", "CONTENTS OF VOLUME I", "INHALT"],
)
def test_recognizes_headings_of_tables(heading: str) -> None:
    assert_removed(heading + "\n" + "\n".join(NAMES), book(NAMES))


def test_removes_entries_over_two_lines() -> None:
    contents = "\n\n".join(
        f"{chapter}\n\n{NAMES[0]}           {page}"
        for chapter, page in zip(CHAPTERS, PAGES, strict=True)
    )
    assert_removed(f"CONTENTS\n\n\n{contents}", "THE ROCK\n\n\n\n" + book(CHAPTERS))


@pytest.mark.parametrize("glue", ["\n", "\n\n"])
@pytest.mark.parametrize("gap", ["\n\n", "\n\n\n\n"])
@pytest.mark.parametrize("parts", [["PART ONE", "PART TWO"], []])
def test_removes_tables_with_chapters_that_restart_in_each_part(
    glue: str, gap: str, parts: list[str]
) -> None:
    entries_of_parts = [*parts[:1], *CHAPTERS[:3], *parts[1:], *CHAPTERS[:3]]
    text = f"CONTENTS\n\n{glue.join(entries_of_parts)}{gap}{book(entries_of_parts)}"
    assert remove_contents(text).body == book(entries_of_parts)


def test_a_heading_after_a_wide_gap_belongs_to_the_book_even_if_repeated() -> None:
    headings = ["CHAPTER I\n\nThe Boat", "CHAPTER II\n\nThe Lamp", "CHAPTER I\n\nThe Storm"]
    assert_removed("CONTENTS\n\nThe Boat\nThe Lamp\nThe Storm", book(headings))


def test_removes_a_list_of_illustrations_without_using_its_titles() -> None:
    pictures = "LIST OF ILLUSTRATIONS\n\n                FACING PAGE\n" + "\n\n".join(
        f"The rock and the lighthouse that\nstands on it, no. {page}     {page}" for page in PAGES
    )
    contents = "CONTENTS\n\n" + table(lambda entry, page: f"{entry}     {page}", NAMES)
    text = f"{contents}\n\n\n\n{pictures}\n\n\n\n{book(NAMES)}"
    result = remove_contents(text)
    assert result.body == book(NAMES)
    assert result.titles == tuple(NAMES)


def test_titles_have_no_number_page_or_author() -> None:
    form = "{1}. {0}, by Ada Keeper ..... {1}".format
    contents = "CONTENTS\n\n" + table(form, NAMES)
    assert remove_contents(f"{contents}\n\n\n\n{book(NAMES)}").titles == tuple(NAMES)


@pytest.mark.parametrize("pages", [True, False])
def test_removes_the_table_of_an_anthology_and_keeps_its_works(pages: bool) -> None:
    form = (lambda name, page: f"{name}    {page}") if pages else (lambda name, page: name)
    assert_removed(f"CONTENTS\n\n{table(form, NAMES)}", book([name.upper() for name in NAMES]))


@pytest.mark.parametrize("pages", [True, False])
def test_keeps_refrains_and_line_numbers_of_verse(pages: bool) -> None:
    form = (lambda name, page: f"{name}    {page}") if pages else (lambda name, page: name)
    numbered = STANZA.replace("rest.", "rest.      5")
    poems = book([name.upper() for name in NAMES], f"{numbered}\n{STANZA}\n{numbered}")
    assert_removed(f"CONTENTS\n\n{table(form, NAMES)}", poems.strip())


@pytest.mark.parametrize(
    "text",
    [
        f"CONTENTS\n\nThe box held a rope, a lamp.\nNobody had opened it.\n\n{book(CHAPTERS)}",
        f"CONTENTS\n\n{book(CHAPTERS)}",
        f"CONTENTS\n\nRoom 12\nLamp 4\nDoor 3\n\n{book(CHAPTERS)}",
        f"Contents\n\n{STANZA}\n{STANZA}\n{STANZA}\n{PROSE}",
        book(CHAPTERS),
        f"He read the table of contents.\n\n{book(NAMES)}",
        f"CONTENTS\n\n{PROSE}\n\n{PROSE}\n\n{PROSE}\n\n{book(CHAPTERS)}",
    ],
)
def test_nothing_is_removed_without_proof(text: str) -> None:
    assert remove_contents(text).body == text


def test_a_table_that_is_most_of_the_book_stays() -> None:
    index = "CONTENTS\n\n" + "\n".join(
        f"Of Rock number {number}     {number}" for number in range(1, 400)
    )
    assert remove_contents(index + "\n\n" + PROSE).body == index + "\n\n" + PROSE


def test_removes_a_short_table_before_a_poem_with_line_numbers() -> None:
    numbered = STANZA.replace("west,", "west,      2").replace("rest.", "rest.      4")
    poems = book([name.upper() for name in NAMES[:3]], f"{numbered}\n{numbered}").strip()
    assert_removed("CONTENTS\n\nThe Boat\nThe Lamp\nThe Storm", poems)
