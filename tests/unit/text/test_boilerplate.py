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


OLD_HEADER = """The Project Gutenberg Etext of The Lighthouse, by Ada Keeper

Copyright laws are changing all over the world, be sure to check the
copyright laws for your country before posting these files!!

Please take a look at the important information in this header.

**Welcome To The World of Free Plain Vanilla Electronic Texts**

Title: The Lighthouse

Author: Ada Keeper

*****This file should be named lthse10.txt or lthse10.zip*****

Project Gutenberg Etexts are usually created from several printed editions.
"""
AUSTRALIA = """Project Gutenberg Australia

Title: The Lighthouse
Author: Ada Keeper
* A Project Gutenberg of Australia eBook *
eBook No.: 0100021.txt

Copyright laws are changing all over the world.

This eBook is made available at no cost and with almost no restrictions

To contact Project Gutenberg of Australia go to http://gutenberg.net.au
"""
CANADA = """* A Project Gutenberg Canada Ebook *

This ebook is made available at no cost and with very few restrictions.

This work is in the Canadian public domain, but may be under copyright in some countries.

Title: The Lighthouse
Author: Ada Keeper
Date first posted: 1 May 2008

This ebook was produced by: Some Volunteers
"""
FADED_PAGE = CANADA.replace(
    "A Project Gutenberg Canada Ebook", "A Distributed Proofreaders Canada eBook"
)


@pytest.mark.parametrize("header", [OLD_HEADER, AUSTRALIA, CANADA, FADED_PAGE])
@pytest.mark.parametrize(
    "end",
    [
        "",
        "End of The Project Gutenberg Etext of The Lighthouse\n\n**The Legal Small Print**\n\n"
        "***START**THE SMALL PRINT!**FOR PUBLIC DOMAIN ETEXTS**START***\nWhy is this here?\n\n"
        "*END*THE SMALL PRINT! FOR PUBLIC DOMAIN ETEXTS*Ver.10/04/01*END*\n",
        "End of this Project Gutenberg of Australia eBook\nThe Lighthouse by Ada Keeper\n",
        "Project Gutenberg Australia\n",
        "[End of _The Lighthouse_, by Ada Keeper]\n",
    ],
)
def test_headers_without_a_start_marker_are_removed(header: str, end: str) -> None:
    stripped = strip_boilerplate(f"{header}\n\n{BODY * 2}\n\n{end}")
    assert stripped.body.strip() == (BODY * 2).strip()
    assert "Title: The Lighthouse" in stripped.header


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (
            "*** START OF THE COPYRIGHTED PROJECT GUTENBERG EBOOK THE LIGHTHOUSE ***",
            "*** END OF THE COPYRIGHTED PROJECT GUTENBERG EBOOK THE LIGHTHOUSE ***",
        ),
        ("START OF THE PROJECT GUTENBERG EBOOK 9", "Ende dieses Projekt Gutenberg Etextes von X"),
        ("*** DÉBUT DU PROJET GUTENBERG EBOOK LE PHARE ***", "Fin de Project Gutenberg's Le Phare"),
        ("*** INICIO DE ESTE PROYECTO GUTENBERG ***", "*** FIN DE ESTE PROYECTO GUTENBERG ***"),
        ("***START OF THE PROJECT GUTENBERG EBOOK***", "Einde van het Project Gutenberg EBook"),
    ],
)
def test_removes_markers_of_other_forms_and_languages(start: str, end: str) -> None:
    stripped = strip_boilerplate(f"Title: X\n\n{start}\n\n{BODY}\n\n{end}\n\nlicense\n")
    assert stripped.body.strip() == BODY.strip()


def test_each_work_of_a_collection_is_kept_and_the_blurbs_are_not() -> None:
    works = [f"WORK {number}\n\n{BODY}" for number in range(3)]
    text = "\n".join(
        f"Title: {number}\n\n*** START OF THE PROJECT GUTENBERG EBOOK {number} ***\n{work}\n"
        f"*** END OF THE PROJECT GUTENBERG EBOOK {number} ***\nlicense\n"
        for number, work in enumerate(works)
    )
    assert strip_boilerplate(text).body.split() == "\n".join(works).split()


def test_headers_between_the_works_of_an_old_collection_are_removed() -> None:
    works = [f"WORK {number}\n\n{BODY}" for number in range(4)]
    end = "End of The Project Gutenberg Etext of Work {}\n\n"
    text = "".join(f"{OLD_HEADER}\n{work}\n\n{end.format(n)}" for n, work in enumerate(works))
    assert strip_boilerplate(text).body.split() == "\n".join(works).split()


def test_blurbs_of_the_world_library_are_removed() -> None:
    blurb = (
        "<<THIS ELECTRONIC VERSION OF THE COMPLETE WORKS OF ADA KEEPER IS COPYRIGHT 1990 BY WORLD\n"
        "LIBRARY, INC., AND IS PROVIDED BY PROJECT GUTENBERG ETEXT OF ILLINOIS COLLEGE\n"
        "WITH PERMISSION.>>\n"
    )
    text = f"*** START OF THE PROJECT GUTENBERG EBOOK X ***\n{BODY}\n{blurb}\n{BODY}"
    assert strip_boilerplate(text).body.split() == (BODY + BODY).split()


def test_a_book_that_speaks_of_the_project_is_not_cut() -> None:
    text = f"He loved Project Gutenberg.\n\nIt was an etext, he said.\n\n{BODY * 3}"
    assert "He loved" in strip_boilerplate(text.replace("It was an etext, he said.", "")).body


@pytest.mark.parametrize(
    "end",
    [
        "The End of the Project Gutenberg Etext of The Lamp",
        "Ende dieses Project Gutenberg Etextes Die Lampe",
        "Fin du Projet Gutenberg EBook de La lampe",
        "Fim do Projecto Gutenberg de A lampada",
        "Slutningen af Project Gutenbergs Lampen",
        "Finis Project Gutenberg EBook of Lucerna",
        "Project Gutenbergin e-kirjan Lamppu loppu",
        "A Project Gutenberg A lámpa című könyvének vége",
    ],
)
def test_the_last_line_of_many_languages_ends_the_book(end: str) -> None:
    text = f"{BODY * 3}\n\n{end}\n\nlicense\n"
    assert strip_boilerplate(text).body.split() == (BODY * 3).split()
