from __future__ import annotations

import pytest

from raypipe.text.frames import remove_frames

TITLE = "The Lighthouse\n\nBy Ada Keeper\n\n"
BODY = "The keeper lit the lamp and went down to the sea.\n" * 60

STANDARD_EBOOKS = (
    f"{TITLE}Imprint\n\nThis ebook is the product of many hours of hard work by volunteers for "
    "Standard Ebooks, and builds on the hard work of other literature lovers made possible by the "
    "public domain.\n\nThis particular ebook is based on one from Project Gutenberg.\n\n"
    "The source text and artwork in this ebook are believed to be in the United States public "
    "domain.\n\nStandard Ebooks is a volunteer-driven project. standardebooks.org\n\n"
    f"{BODY}\nColophon\n\nThe Lighthouse was published in 1908 by Ada Keeper.\n\nThis ebook was "
    "produced for Standard Ebooks by a volunteer.\n\nUncopyright\n\nMay you do good and not evil.\n"
)
WIKISOURCE = (
    f"{TITLE}Rock and Lamp, London, 1908\n\nExported from Wikisource on May 12, 2023\n\n{BODY}\n"
    "About this digital edition\n\nThis e-book comes from the online library Wikisource. This "
    "multilingual digital library, built by volunteers, is committed to free books.\n"
)
FRENCH_WIKISOURCE = (
    f"{TITLE}Exporté de Wikisource le 12 mai 2023\n\n{BODY}\nÀ propos de cette édition "
    "électronique\n\nCe livre électronique est issu de la bibliothèque numérique Wikisource.\n"
)
GOOGLE = (
    "This is a digital copy of a book that was preserved for generations on library shelves.\n\n"
    "Usage guidelines\n\nPublic domain books belong to the public and we are merely their "
    "custodians.\n\nWe also ask that you:\n\n+ Refrain from automated querying Do not send "
    "queries.\n\n+ Keep it legal Whatever your use, remember that you are responsible.\n\nAbout "
    f"Google Book Search\n\nYou can search at http://books.google.com/\n\n\n{TITLE}{BODY}"
)
INTERNET_ARCHIVE = (
    'Full text of "The Lighthouse"\n\nSee other formats\n\nDigitized by the Internet Archive\nin '
    "2007 with funding from\nMicrosoft Corporation\n\nhttp://www.archive.org/details/lighthouse\n\n"
    f"{TITLE}{BODY}"
)
LIBER_LIBER = (
    "QUESTO E-BOOK:\n\nTITOLO: Il faro\nAUTORE: Ada Keeper\n\nLICENZA: questo testo è distribuito "
    "con la licenza di http://www.liberliber.it/\n\nALLA EDIZIONE ELETTRONICA HANNO CONTRIBUITO "
    f"i volontari del Progetto Manuzio\n\n{TITLE}{BODY}"
)
FREE_EBOOKS = (
    f"{TITLE}{BODY}\nÀ propos de cette édition électronique\n\nTexte libre de droits. Édition: "
    "Ebooks libres et gratuits\n"
)

FEEDBOOKS = (
    "Copyright: This work is available for countries where copyright is Life+70.\n\nNote: This "
    f"book is brought to you by Feedbooks\nhttp://www.feedbooks.com\n\n{TITLE}{BODY}\nLoved "
    "this book?\nSimilar users also downloaded\n\nwww.feedbooks.com\nFood for the mind\n"
)
ADELAIDE = f"{TITLE}{BODY}\nThis web edition published by:\n\neBooks@Adelaide\nThe University\n"


@pytest.mark.parametrize(
    "text",
    [
        STANDARD_EBOOKS, WIKISOURCE, FRENCH_WIKISOURCE, GOOGLE, INTERNET_ARCHIVE, LIBER_LIBER,
        FREE_EBOOKS, FEEDBOOKS, ADELAIDE,
    ],
)  # fmt: skip
def test_the_notices_of_a_library_are_removed(text: str) -> None:
    kept = [line for line in remove_frames(text).split("\n") if line]
    wanted = (TITLE + BODY).split("\n")
    extra = ["Rock and Lamp, London, 1908"] * (text == WIKISOURCE)
    assert kept == [*filter(None, wanted[:4]), *extra, *filter(None, wanted[4:])]


@pytest.mark.parametrize(
    "text",
    [
        BODY,
        f"COLOPHON\n\n{BODY}",
        f"{BODY}\nColophon\n\nPrinted at the Rock Press.\n",
        f"{BODY}\nHe read of Google and of Wikisource, and of the archive of the town.\n\n{BODY}",
        f"Imprint\n\n{BODY}",
    ],
)
def test_a_book_without_notices_stays(text: str) -> None:
    assert remove_frames(text) == text
