"""The descriptions of the retrieval benchmark, and what holds each to its rules."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import yaml  # type: ignore[import-untyped, unused-ignore]

DESCRIPTIONS_PATH = Path(__file__).with_name("descriptions.yaml")
RUN_LENGTH = 4

_APOSTROPHES = re.compile(r"['’‘]")
_WORD = re.compile(r"[^\W_]+")
_HEADER = re.compile(r"^(?:Title|Author):(.*)$", re.MULTILINE)
_POSSESSIVE = re.compile(r"['’]s\b")
_SMALL_WORDS = frozenset({"a", "and", "by", "from", "in", "of", "s", "the"})
_LONGEST_ENDING = 4
_SHORTEST_STEM = 5


@dataclass(frozen=True)
class BookDescriptions:
    """The descriptions written for one book.

    Attributes:
        book: Name of the book's file.
        descriptions: What a reader might type to find it.
    """

    book: str
    descriptions: tuple[str, ...]


def load_descriptions(path: Path = DESCRIPTIONS_PATH) -> list[BookDescriptions]:
    """Reads the descriptions file.

    Args:
        path: The YAML file to read.

    Returns:
        One record for each book, in the file's order.
    """
    entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    return [
        BookDescriptions(str(entry["book"]), tuple(map(str, entry["descriptions"])))
        for entry in entries
    ]


def check_against(book_text: str, description: str) -> list[str]:
    """Checks one description against the text of the book it describes.

    Args:
        book_text: The whole text of the book, header included.
        description: The description to check.

    Returns:
        One line for each violation; empty where the description keeps the rules.
    """
    return [
        *_shared_runs(book_text, description),
        *_used_words("title or author", _header_words(book_text), description),
        *_used_names(book_text, description),
    ]


def _words(text: str) -> list[str]:
    """Splits a text into words without case, punctuation or apostrophes."""
    return _WORD.findall(_APOSTROPHES.sub("", text).casefold())


def _bare_words(text: str) -> list[str]:
    """Splits a text into words as written, less the possessive endings."""
    return _WORD.findall(_APOSTROPHES.sub("", _POSSESSIVE.sub("", text)))


def _runs(text: str) -> list[tuple[str, ...]]:
    """Lists every run of RUN_LENGTH words of a text, in order."""
    words = _words(text)
    return list(zip(*(words[start:] for start in range(RUN_LENGTH)), strict=False))


def _shared_runs(book_text: str, description: str) -> list[str]:
    """Names the runs of words that the description has from the book."""
    book_runs = set(_runs(book_text))
    shared = [run for run in _runs(description) if run in book_runs]
    return [f"words of the book: {' '.join(run)}" for run in shared]


def _header_words(book_text: str) -> set[str]:
    """Collects the words of the book's title and author lines."""
    header = " ".join(_HEADER.findall(book_text))
    return {word.casefold() for word in _bare_words(header)} - _SMALL_WORDS


def _used_words(kind: str, banned: set[str], description: str) -> list[str]:
    """Names the words of the description that are banned as they stand."""
    words = dict.fromkeys(word.casefold() for word in _bare_words(description))
    return [f"{kind}: {word}" for word in words if word in banned]


def _used_names(book_text: str, description: str) -> list[str]:
    """Names the words of the description that are, or derive from, a name."""
    names, common = _names_and_common_words(book_text)
    words = dict.fromkeys(word.casefold() for word in _bare_words(description))
    stems = {stem for name in names if (stem := _stem(name))}
    return [
        f"name: {word}"
        for word in words
        if word in names or (word not in common and _derives(word, stems))
    ]


def _names_and_common_words(book_text: str) -> tuple[set[str], set[str]]:
    """Tells a book's names from its common words.

    A word counts as a name where the book all but always capitalises it, which
    takes in a few ordinary words that only ever open a sentence.

    Args:
        book_text: The whole text of the book.

    Returns:
        The names and the common words, casefolded.
    """
    words = [word for word in _bare_words(book_text) if len(word) > 1]
    capitalised = Counter(
        word.casefold() for word in words if word[0].isupper() and not word.isupper()
    )
    lower = Counter(word for word in words if word.islower())
    names = {word for word, count in capitalised.items() if lower[word] * 10 <= count}
    return names, set(lower) - names


def _stem(name: str) -> str:
    """Cuts a name's final vowels; empty where too little is left to tell."""
    stem = name.rstrip("aeiouy")
    return stem if len(stem) >= _SHORTEST_STEM else ""


def _derives(word: str, stems: set[str]) -> bool:
    """Tells whether a word is one of the stems with a short ending."""
    cuts = range(1, _LONGEST_ENDING + 1)
    return any(word[:-cut] in stems for cut in cuts)
