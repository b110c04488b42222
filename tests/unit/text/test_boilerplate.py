from __future__ import annotations

import pytest

from raypipe.text.boilerplate import strip_boilerplate

BODY = "THE LIGHTHOUSE\n\n" + "The keeper lit the lamp and went down to the sea.\n" * 60
TAIL = "\n\n***** This file should be named x.txt *****\n\nProduced by Someone Else\n\n"
LICENSE = "*** START: FULL LICENSE ***\n\nTHE FULL PROJECT GUTENBERG LICENSE\nPLEASE READ\n"


@pytest.mark.parametrize(
    "start",
    [
        "*** START OF THIS PROJECT GUTENBERG EBOOK THE LIGHTHOUSE ***",
        "***START OF THE PROJECT GUTENBERG EBOOK THE LIGHTHOUSE***",
        "*** START OF THE PROJECT GUTENBERG ETEXT, THE LIGHTHOUSE",
        "*** START OF THE PROJECT GUTENBERG EBOOK A VERY LONG NAME THAT GOES\nON HERE ***",
        "*** start of this project gutenberg ebook the lighthouse ***",
        "*END*THE SMALL PRINT! FOR PUBLIC DOMAIN ETEXTS*Ver.04.29.93*END*",
        "*END THE SMALL PRINT! FOR PUBLIC DOMAIN ETEXTS*Ver.04.07.00*END*",
    ],
)
@pytest.mark.parametrize(
    "end",
    [
        "*** END OF THIS PROJECT GUTENBERG EBOOK THE LIGHTHOUSE ***",
        "***END OF THE PROJECT GUTENBERG EBOOK THE LIGHTHOUSE***",
        "End of the Project Gutenberg EBook of The Lighthouse\n\n*** END OF THE PROJECT GUTENBERG",
        "End of Project Gutenberg’s The Lighthouse, by A. Keeper\n\n"
        "*** END OF THIS PROJECT GUTENBERG EBOOK THE LIGHTHOUSE ***",
        "End of The Project Gutenberg Etext of The Lighthouse",
    ],
)
def test_removes_all_spellings_of_the_markers(start: str, end: str) -> None:
    text = f"Title: The Lighthouse\n\n{start}\n\n\n{BODY}\n\n{end}\n{TAIL}{LICENSE}"
    stripped = strip_boilerplate(text)
    assert stripped.body.strip() == BODY.strip()
    assert stripped.header.strip() == "Title: The Lighthouse"


def test_without_a_marker_the_whole_text_is_kept() -> None:
    stripped = strip_boilerplate(BODY)
    assert (stripped.body, stripped.header) == (BODY, "")


def test_the_first_end_marker_after_the_start_counts() -> None:
    text = (
        "*** END OF THE PROJECT GUTENBERG is quoted here\n"
        "*** START OF THE PROJECT GUTENBERG EBOOK X ***\n"
        f"{BODY}*** END OF THE PROJECT GUTENBERG EBOOK X ***\nlicense\n"
        "*** END OF THE PROJECT GUTENBERG EBOOK Y ***\n"
    )
    assert strip_boilerplate(text).body.strip() == BODY.strip()


def test_removes_credits_and_keeps_the_book() -> None:
    text = (
        "*** START OF THE PROJECT GUTENBERG EBOOK X ***\n\nProduced by Some Volunteers and the\n"
        f"Online Team\n\nTranscribed from the 1908 edition\n\n{BODY}"
        "\n\nProduced by the same\n*** END OF THE PROJECT GUTENBERG EBOOK X ***"
    )
    assert strip_boilerplate(text).body.strip() == BODY.strip()


def test_produced_by_is_kept_in_a_book_without_markers() -> None:
    text = "Produced by the sea, salt was dear.\n\n" + BODY
    assert strip_boilerplate(text).body == text


def test_small_print_at_the_end_does_not_remove_the_book() -> None:
    text = BODY + "*END*THE SMALL PRINT! FOR PUBLIC DOMAIN ETEXTS*END*\n"
    assert BODY.strip() in strip_boilerplate(text).body


def test_an_early_quoted_end_line_does_not_end_the_book() -> None:
    text = "End of the Project Gutenberg days, he thought.\n" + BODY * 3
    assert strip_boilerplate(text).body == text


def test_a_book_on_a_single_line_keeps_its_body() -> None:
    line = BODY.replace("\n", " ")
    text = f"Title: X *** START OF THE PROJECT GUTENBERG EBOOK X *** {line}"
    assert strip_boilerplate(text).body.strip() == line.strip()


# Boilerplate of eight real books, with the names of another book.
REAL_STARTS = [
    "*** START OF THIS PROJECT GUTENBERG EBOOK THE LIGHTHOUSE’S ROCK ***\n\n\n\n\n\n\n\n\n\n\n",
    "*** START OF THIS PROJECT GUTENBERG EBOOK THE LIGHTHOUSE ***\n\n\n\n\nProduced by Ada Keeper "
    "and the Online Distributed\nProofreading Team at http://www.pgdp.net\n\n\n\n\n\n",
    "*** START OF THIS PROJECT GUTENBERG EBOOK THE LIGHTHOUSE ***\n\n\n\n\nProduced by Ada Keeper "
    "(This file was\nproduced from images made available by The\nInternet Archive)\n\n\n",
    "***START OF THE PROJECT GUTENBERG EBOOK THE LIGHTHOUSE***\n\n\n\n\nTranscribed from the 1908 "
    "Rock, Lamp, and Co. edition by Ada\nKeeper, email ada@example.org\n\n\n\n\n\n",
    "*** START OF THIS PROJECT GUTENBERG EBOOK THE LIGHTHOUSE ***\n\n\n\n\nProduced by Ada\n\n\n\n",
    "*** START OF THE PROJECT GUTENBERG EBOOK 9 ***\n\nCredits: Ada Keeper and others\n\n\n",
    "*** START OF THE PROJECT GUTENBERG EBOOK 9 ***\n\nE-text prepared by Ada Keeper\n\n\n\nNote: "
    "Project Gutenberg also has an HTML version of this\n      file.\n\n\n\n\n",
    "*** START OF THE PROJECT GUTENBERG EBOOK 9 ***\n\n[Transcriber's Note: as printed.]\n\n"
    "Produced by Ada Keeper\n\n\n\n",
]
REAL_ENDS = [
    "\n\nEnd of Project Gutenberg’s The Lighthouse, by Ada Keeper\n\n"
    "*** END OF THIS PROJECT GUTENBERG EBOOK THE LIGHTHOUSE ***\n\n"
    "***** This file should be named 11-0.txt or 11-0.zip *****\n",
    "\n\n\n\nEnd of the Project Gutenberg EBook of The Lighthouse, by Ada Keeper\n\n"
    "*** END OF THIS PROJECT GUTENBERG EBOOK THE LIGHTHOUSE ***\n\n"
    "***** This file should be named 9-8.txt or 9-8.zip *****\n\nProduced by Ada Keeper and the "
    "Online Distributed\nProofreading Team\n\n\nUpdated editions will replace the previous one\n\n"
    "*** START: FULL LICENSE ***\n\nTHE FULL PROJECT GUTENBERG LICENSE\n",
    "\n\n\n***END OF THE PROJECT GUTENBERG EBOOK THE LIGHTHOUSE***\n\n\n"
    "******* This file should be named 9.txt or 9.zip *******\n",
    "\n\n*** END OF THE PROJECT GUTENBERG EBOOK 9 ***\n\nUpdated editions will replace it\n",
    '\n\nTranscriber\'s Notes:\n\n    Page 8: changed "Rok" to "Rock"\n\n\n\n\n'
    "End of the Project Gutenberg EBook of The Lighthouse\n\n"
    "*** END OF THIS PROJECT GUTENBERG EBOOK THE LIGHTHOUSE ***\n",
]


@pytest.mark.parametrize("start", REAL_STARTS)
@pytest.mark.parametrize("end", REAL_ENDS)
def test_removes_the_boilerplate_of_real_books(start: str, end: str) -> None:
    header = "The Project Gutenberg EBook of The Lighthouse, by Ada Keeper\n\n"
    assert strip_boilerplate(f"{header}{start}{BODY}{end}").body.strip() == BODY.strip()


def test_removes_a_transcribers_note_from_a_book_without_markers() -> None:
    text = f"[Transcriber's Note: as printed.]\n\nProduced by the sea, salt was dear.\n\n{BODY}"
    assert strip_boilerplate(text).body.strip() == text.split("]\n\n")[1].strip()
