"""Books for the tests of summarizers."""

from __future__ import annotations

import hashlib

from raypipe.text import Chapter, CleanText, count_words

NOUNS = "lamp gulls bread storm letter garden engine market harbor violin orchard ferry"
VERBS = "found lost carried mended painted hid sold buried watched stole praised sank"
PLACES = "island mill tower bridge cellar station meadow chapel quarry inn bakery pier"


def sentence(number: int) -> str:
    """Return a sentence that differs for each number."""
    noun = NOUNS.split()[number % 12]
    verb = VERBS.split()[number // 12 % 12]
    place = PLACES.split()[number // 144 % 12]
    return f"On day {number} a keeper {verb} the {noun} near that old {place} of Saint {number}."


def make_book(text: str, *, chapters: tuple[Chapter, ...] = (), language: str = "en") -> CleanText:
    return CleanText(
        text=text,
        title="The Keeper",
        author="A Writer",
        language=language,
        encoding="utf-8",
        words=count_words(text),
        flags=(),
        sha256=hashlib.sha256(text.encode()).hexdigest(),
        chapters=chapters,
    )


def book_with_chapters(*lengths: int) -> CleanText:
    """Return a book with a chapter for each length.

    Args:
        lengths: Number of sentences of each chapter; a paragraph has four.
    """
    text, chapters, first = "", [], 0
    for number, length in enumerate(lengths, start=1):
        title = f"CHAPTER {number}"
        sentences = [sentence(first + index) for index in range(length)]
        first += length
        paragraphs = [" ".join(sentences[start : start + 4]) for start in range(0, length, 4)]
        body = "\n\n".join([title, *paragraphs]) + ("\n\n" if number < len(lengths) else "")
        chapters.append(Chapter(title, len(text), len(text) + len(body)))
        text += body
    return make_book(text, chapters=tuple(chapters))
