"""The same book has the same clean text, whatever its encoding, lines, pages and frame."""

from __future__ import annotations

import textwrap

import pytest

from raypipe.text import TextCleaner

SENTENCES = (
    "The schoolmaster counted the geese twice before supper, while the rain beat on the slates.",
    "Old Mrs. Tarrow mended the broken weir with willow and clay, as her father had done.",
    "Nobody had asked for it, but the whole village talked of nothing else for a week.",
    "The café owner — Señor Núñez, of Orléans — hid the silver spoons under the hearthstone.",
)
PARAGRAPHS = [" ".join(SENTENCES[number % 4 :] + SENTENCES[: number % 4]) for number in range(24)]
CLEAN = "\n\n".join(PARAGRAPHS)
WRAPPED = "\n\n".join(textwrap.fill(paragraph, 66) for paragraph in PARAGRAPHS)
LINES = WRAPPED.split("\n")
PAGES = ["\n".join(LINES[start : start + 30]).strip("\n") for start in range(0, len(LINES), 30)]
HEADS = ("{}  MEMOIRS OF A PARISH", "THE WINTER FLOOD  {}")
SCANNED = "\f".join(
    f"{HEADS[number % 2].format(number)}\n\n{page}\n\nDigitized by Google\n"
    for number, page in enumerate(PAGES, 1)
)
OLD_ETEXT = (
    "The Project Gutenberg Etext of The Winter Flood, by Ann Tarrow\n\nCopyright laws are changing "
    f"all over the world.\n\nTitle: The Winter Flood\n\nAuthor: Ann Tarrow\n\n\n{WRAPPED}\n\n"
    "End of The Project Gutenberg Etext of The Winter Flood\n\n***START**THE SMALL PRINT!**\nWhy?\n"
)
COPYRIGHTED = (
    "This is a *COPYRIGHTED* Project Gutenberg eBook\n\n*** START OF THE COPYRIGHTED PROJECT "
    f"GUTENBERG EBOOK X ***\n\n{WRAPPED}\n\n*** END OF THE COPYRIGHTED PROJECT GUTENBERG EBOOK X "
    "***\n\nlicense\n"
)


@pytest.mark.parametrize(
    "data",
    [
        WRAPPED.encode("cp1252"),
        WRAPPED.encode("mac_roman"),
        WRAPPED.replace("—", "--").encode("cp850"),
        WRAPPED.encode("utf-16-be"),
        WRAPPED.encode() + b"\x00" * 700,
        WRAPPED.replace("\n", "\r\r\n").encode(),
        WRAPPED.replace("\n", "\r").encode("cp1252"),
        WRAPPED.replace("\n", "\r\n\r\n").encode(),
        CLEAN.encode(),
        COPYRIGHTED.encode(),
        OLD_ETEXT.encode("cp1252"),
    ],
)
def test_the_clean_text_does_not_depend_on_the_origin(data: bytes) -> None:
    book = TextCleaner().clean_here(data, "flood.txt")
    assert book.text.replace("--", "—").replace(" — ", "—") == CLEAN.replace(" — ", "—")
    assert set(book.flags) <= {"trimmed_much"}
    assert book.language == "en"


def test_a_scanned_book_has_no_running_heads_and_no_title_of_them() -> None:
    book = TextCleaner().clean_here(SCANNED.encode(), "scans/The_Flood__by__Ann_Tarrow.txt")
    assert book.text.split() == CLEAN.split()
    assert (book.title, book.author) == ("The Flood", "Ann Tarrow")
    assert TextCleaner().clean_here(SCANNED.encode(), "scan_7.txt").title == "scan"


def test_mixed_encodings_are_flagged_and_right() -> None:
    middle = len(LINES) // 2
    parts = "\n".join(LINES[:middle]).encode(), "\n".join(LINES[middle:]).encode("cp1252")
    book = TextCleaner().clean_here(b"\n".join(parts), "flood.txt")
    assert (book.text, book.flags) == (CLEAN, ("mixed_encodings",))
