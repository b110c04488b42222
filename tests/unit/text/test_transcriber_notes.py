from __future__ import annotations

import pytest

from raypipe.text.transcriber_notes import (
    remove_errata,
    remove_notes,
    remove_transcriber_notes,
)

BOOK = "THE LIGHTHOUSE\n\nby Ada Keeper\n\n\n\nCHAPTER I\n\n" + (
    "The keeper lit the lamp, read a page of the original log, and changed nothing.\n\n" * 80
)


@pytest.mark.parametrize(
    "note",
    [
        "[Transcriber's Note: Obvious printer's errors\nhave been corrected.]\n\n\n\n",
        "[Transcriber’s note: Old spelling is kept.\n\nSee [Footnote 3] too.]\n\n",
        "[TN: the plates are at the end]\n\n",
        "TRANSCRIBER'S NOTE\n\nObvious errors have been corrected.\n\nPage 3: teh.\n\n\n\n\n",
        "Transcriber's Note:\n\nObvious errors have been corrected.\n\n",
        "Transcriber's Note: Obvious errors in spelling have been\ncorrected silently.\n\n\n",
        "Transcriber's Note:\n\nErrors corrected.\n\nThese were:\n\nPage 3: teh\n\n",
        "Transcribers' Notes\n\nThe cover was made by the transcriber.\n\n\n\n",
        "Notes of the Transcriber\n\nThe spelling is that of the original.\n\n\n\n",
        "_Transcriber's note._\n\nThe spelling is that of the original.\n\n\n\n",
        "+------------------+\n| Transcriber's Note: |\n|    |\n| As printed.      |\n"
        "| Also hyphens.    |\n+------------------+\n\n\n",
        "-------\n\nTranscriber's Notes\n\nSpelling kept.\n\nHyphens unchanged.\n\n* * * * *\n\n",
    ],
)
def test_removes_a_note_before_the_title_page(note: str) -> None:
    assert remove_transcriber_notes(note + BOOK).strip() == BOOK.strip()


@pytest.mark.parametrize(
    "note",
    [
        # the forms of eight real books: after a rule, indented entries, or a list of => lines
        "       *       *       *       *       *\n\nTranscriber's Notes.\n\n"
        '    Page 8: changed "Rok" to "Rock" (on\n    the Rock)\n\n'
        '    Page 9: added missing word "we" (as we\n    were)\n',
        "       *       *       *\n\nTypographical errors corrected by the etext transcriber:\n\n"
        "up teh ladder=> up the ladder {pg 12}\n\nfrom md lamp=> from my lamp\n",
        "Transcriber's Notes:\n\n1. Page 9: teh\n\n2. See there.\n\nA table follows\n\nto-day\n",
        "Transcriber's Note\n\nThe text is that of 1902.\n\n\n\n\nHyphenation was kept.",
    ],
)
def test_removes_a_note_at_the_end_completely(note: str) -> None:
    assert remove_transcriber_notes(f"{BOOK}\n\n\n{note}") == BOOK.rstrip()


def test_text_after_a_note_in_the_middle_stays() -> None:
    text = f"{BOOK}\n\n\nTranscriber's Note: as printed.\n\n\n\n\nTHE SECOND TALE\n\n{BOOK}"
    assert remove_transcriber_notes(text) == f"{BOOK.rstrip()}\n\n\n\nTHE SECOND TALE\n\n{BOOK}"


def test_removes_a_note_inside_a_sentence() -> None:
    assert remove_transcriber_notes("He went [Transcriber's note: sic] home.") == "He went home."


@pytest.mark.parametrize(
    "text",
    [
        f"Transcriber's notes lay about the desk.\n\n{BOOK}",
        f"{BOOK}The transcriber corrected page 9, he said.",
        f"TRANSCRIBER'S NOTE\n\nShe was a tall woman.\n\nHer lamp was lit.\n\n{BOOK}",
        f"ERRATA\n\nShe was a horse that few could ride.\n\n{BOOK}",
        f"He wrote [a note: the lamp is out] and left.\n\n{BOOK}",
    ],
)
def test_words_of_the_book_stay(text: str) -> None:
    assert remove_notes(text) == text


@pytest.mark.parametrize("title", ["ERRATA", "ERRATA.", "_Erratum_", "CORRIGENDA"])
def test_removes_errata_at_any_place(title: str) -> None:
    errata = f"{title}\n\nPage 3, line 4, for lamp read camp.\nP. 12, dele the.\n\nPage 9, l. 2."
    assert remove_errata(f"{errata}\n\n\n{BOOK}") == BOOK
    assert remove_errata(f"{BOOK}\n\n{errata}\n") == BOOK.rstrip()


def test_a_long_part_named_like_a_note_stays() -> None:
    tale = "Transcriber's Note\n\n" + "He read the original on page 9.\n\n" * 200
    assert remove_transcriber_notes(tale) == tale
