"""Known-item queries: held-out passages, titles with a typo, and authors."""

from __future__ import annotations

import random
import re
import string
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

WORDS = 10_000
PASSAGES = 4
SENTENCES = 3
SHORTEST_MISTYPED = 4


@dataclass(frozen=True)
class Query:
    """A query and the keys that answer it.

    Attributes:
        text: The query.
        keys: Keys of the books that may be found; one of them is enough.
    """

    text: str
    keys: frozenset[str]


@dataclass(frozen=True)
class Shelf:
    """The indexed books.

    Attributes:
        passages: Queries of three held-out sentences.
        titles: Title of each key.
        authors: Author of each key; empty if unknown.
    """

    passages: list[Query]
    titles: dict[str, str]
    authors: dict[str, str]

    def title_queries(self) -> list[Query]:
        """Return a query for each title."""
        return _group(self.titles)

    def author_queries(self) -> list[Query]:
        """Return a query for each author."""
        return _group(self.authors)

    def title_and_author_queries(self) -> list[Query]:
        """Return a query for each title, followed by its author."""
        return _group(
            {key: f"{self.titles[key]} {author}" for key, author in self.authors.items() if author}
        )


def lay_out(source: Path, target: Path, seed: int) -> Shelf:
    """Write pieces of the books without the held-out passages, and raypipe's sample books.

    A piece is called like the whole book, `Title__by__Author.txt`, in a folder of its number.

    Args:
        source: Folder of the books.
        target: Folder to write.
        seed: Chooses the passages.
    """
    from raypipe.embedded.sample_books import find_sample_books
    from raypipe.text import TextCleaner
    from raypipe.text.sentences import split_sentences

    cleaner, chance = TextCleaner(), random.Random(seed)
    shelf = Shelf([], {}, {})
    for path in sorted(source.glob("*.txt")):
        book = cleaner.clean(path.read_bytes(), path.name)
        name = f"{book.title}__by__{book.author}.txt".replace(" ", "_")
        for piece in split_pieces(book.text, split_sentences(book.text, book.language)):
            key = f"{len(shelf.titles):03d}/{name}"
            held_out = choose_passages(piece, chance)
            shelf.titles[key], shelf.authors[key] = book.title, book.author
            shelf.passages.extend(
                Query(" ".join(piece.sentences[at : at + SENTENCES]), frozenset({key}))
                for at in held_out
            )
            write(target / key, piece.text_without(held_out).encode())
    for sample, path in find_sample_books().items():
        key, data = f"samples/{sample}", path.read_bytes()
        book = cleaner.clean(data, key)
        shelf.titles[key], shelf.authors[key] = book.title, book.author
        write(target / key, data)
    return shelf


@dataclass(frozen=True)
class Piece:
    """A part of a book.

    Attributes:
        text: The text.
        sentences: Its sentences.
        spans: Start and end of each sentence in the text.
    """

    text: str
    sentences: list[str]
    spans: list[tuple[int, int]]

    def text_without(self, passages: Sequence[int]) -> str:
        """Return the text without the passages that begin at these sentences."""
        kept, end = [], 0
        for at in passages:
            kept.append(self.text[end : self.spans[at][0]])
            end = self.spans[at + SENTENCES - 1][1]
        return "".join([*kept, self.text[end:]])


def split_pieces(text: str, sentences: Sequence[str]) -> Iterator[Piece]:
    """Yield pieces of about 10,000 words; a rest of less than half of that is added to the last."""
    # The splitter changes the white space between the words of a sentence, and nothing else.
    letters = [match.start() for match in re.finditer(r"\S", text)]
    left = len(text.split())
    start = end = at = words = 0
    gathered: list[str] = []
    spans: list[tuple[int, int]] = []
    for sentence in sentences:
        length = len("".join(sentence.split()))
        begin, end, at = letters[at], letters[at + length - 1] + 1, at + length
        if "".join(text[begin:end].split()) != "".join(sentence.split()):
            raise ValueError(f"sentence not found in the text: {sentence!r}")
        gathered.append(sentence)
        spans.append((begin - start, end - start))
        words += len(sentence.split())
        if words >= WORDS and left - words >= WORDS // 2:
            yield Piece(text[start:end], gathered, spans)
            left, start, words, gathered, spans = left - words, end, 0, [], []
    yield Piece(text[start:], gathered, spans)


def choose_passages(piece: Piece, chance: random.Random) -> list[int]:
    """Return the first sentences of passages in ascending order, without overlap."""
    starts: list[int] = []
    while len(starts) < PASSAGES:
        start = chance.randrange(len(piece.sentences) - SENTENCES + 1)
        if all(abs(start - other) >= SENTENCES for other in starts):
            starts.append(start)
    return sorted(starts)


def misspell(text: str, chance: random.Random) -> str:
    """Return a text with one typo in a word of four letters or more.

    A letter is replaced, left out, typed before another, or swapped with the next.
    """
    words = [word for word in re.finditer(r"[^\W\d_]+", text) if len(word[0]) >= SHORTEST_MISTYPED]
    word = chance.choice(words)
    while True:
        at = chance.randrange(word.start(), word.end())
        before, letter, after = text[:at], text[at], text[at + 1 :]
        other = chance.choice(string.ascii_lowercase)
        typed = [before + other + after, before + after, before + other + letter + after]
        if at + 1 < word.end():
            typed.append(before + after[0] + letter + after[1:])
        chosen = chance.choice(typed)
        if chosen.lower() != text.lower():
            return chosen


def write(path: Path, data: bytes) -> None:
    """Write a file in a new folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _group(texts: dict[str, str]) -> list[Query]:
    keys: dict[str, set[str]] = {}
    for key, text in texts.items():
        if text:
            keys.setdefault(text, set()).add(key)
    return [Query(text, frozenset(found)) for text, found in keys.items()]
