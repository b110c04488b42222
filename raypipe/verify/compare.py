"""New documents held against another system's results, book by book."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from raypipe.embedders.protocol import Embedder
from raypipe.verify.legacy_results import LegacyResult

MOST_NEARER = 0.1
"""Share of other books that may lie nearer to an old summary than the book it is of."""

_OTHERS = 200
_BATCH = 256
_NOISE = 1e-6
_WORDS = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True)
class Candidate:
    """What is compared of a book: a finished document, or a listed book that has none."""

    key: str
    title: str = ""
    author: str = ""
    summary: str = ""
    finished: bool = True


@dataclass
class Comparison:
    """Every old result is in exactly one of good, lacking, unlike and unlisted (by key)."""

    good: list[str] = field(default_factory=list)
    lacking: list[str] = field(default_factory=list)  # listed, but no document is finished
    unlike: list[str] = field(default_factory=list)  # the two summaries say different things
    unlisted: list[str] = field(default_factory=list)  # no such book at the source
    titles: list[str] = field(default_factory=list)  # another title or author; also in one above
    unreadable: list[str] = field(default_factory=list)  # files, and why
    new: int = 0  # documents of which there is no old result

    @property
    def exit_code(self) -> int:
        """Return 1 if a result has no good counterpart, or could not be read; else 0."""
        return int(bool(self.lacking or self.unlike or self.unreadable))


def compare(
    originals: Iterable[LegacyResult],
    candidates: Collection[Candidate],
    embedder: Embedder,
    most_nearer: float = MOST_NEARER,
) -> Comparison:
    """Hold old results against new documents.

    A book is found by its key, else by the name of its file, else by title and author.

    Args:
        originals: The old results; of several for one book, the last counts.
        candidates: The listed and the finished books.
        embedder: Turns summaries into vectors to compare; any offline one will do.
        most_nearer: Share of other books, of up to 200, that may lie nearer to an old summary
            than its own book; 1 = do not compare summaries.
    """
    found, by_key = Comparison(), _Names(candidates)
    pairs: dict[str, tuple[LegacyResult, Candidate]] = {}
    for one in originals:
        match = by_key.find(one)
        if match is None:
            found.unlisted.append(one.title or one.key)
        else:
            pairs[match.key] = (one, match)
    found.lacking = [key for key, (_, new) in pairs.items() if not new.finished]
    found.new = sum(one.finished and one.key not in pairs for one in candidates)
    finished = [pair for pair in pairs.values() if pair[1].finished]
    found.titles = [new.key for old, new in finished if not _same_names(old, new)]
    unlike = _unlike(finished, candidates, embedder, most_nearer)
    for _, new in finished:
        (found.unlike if new.key in unlike else found.good).append(new.key)
    return found


class _Names:
    """Finds a book by what an old result calls it."""

    def __init__(self, candidates: Iterable[Candidate]) -> None:
        self._by: dict[str, dict[str, Candidate | None]] = {"key": {}, "stem": {}, "names": {}}
        for one in candidates:
            self._by["key"][one.key] = one
            self._add("stem", _folded(PurePosixPath(one.key).stem), one)
            if one.title:
                self._add("names", _names(one.title, one.author), one)

    def _add(self, by: str, name: str, one: Candidate) -> None:
        # A name that two books have finds neither.
        known = self._by[by]
        known[name] = one if name not in known or known[name] == one else None

    def find(self, old: LegacyResult) -> Candidate | None:
        key = re.sub(r"^s3://[^/]+/", "", old.key)
        path = PurePosixPath(key)
        return (
            self._by["key"].get(key)
            or self._by["stem"].get(_folded(path.name))
            or self._by["stem"].get(_folded(path.stem))
            or (self._by["names"].get(_names(old.title, old.author)) if old.title else None)
        )


def _same_names(old: LegacyResult, new: Candidate) -> bool:
    return all(
        not before or _folded(before) == _folded(after)
        for before, after in ((old.title, new.title), (old.author, new.author))
    )


def _names(title: str, author: str) -> str:
    return f"{_folded(title)} by {_folded(author)}"


def _folded(text: str) -> str:
    return " ".join(_WORDS.findall(text.casefold()))


def _unlike(
    pairs: Sequence[tuple[LegacyResult, Candidate]],
    candidates: Collection[Candidate],
    embedder: Embedder,
    most: float,
) -> set[str]:
    """Return the keys whose old summary lies nearer to other books than to its own.

    A bound on the cosine would not do: of two summaries of one book it was 0.14 to 0.92, of two
    books up to 0.58 (24 books, wordllama). Among 23 others, 22 of 24 were the nearest.
    """
    both = [(old.summary, new) for old, new in pairs if old.summary and new.summary]
    finished = [one for one in candidates if one.summary]
    others = finished[:: max(1, len(finished) // _OTHERS)]
    if not both or len(others) < 2 or most >= 1:
        return set()
    crowd = _unit(embedder.embed([one.summary for one in others]))
    keys = np.array([one.key for one in others])
    unlike: set[str] = set()
    for at in range(0, len(both), _BATCH):
        batch = both[at : at + _BATCH]
        old = _unit(embedder.embed([summary for summary, _ in batch]))
        own = _unit(embedder.embed([new.summary for _, new in batch]))
        nearer = old @ crowd.T > (old * own).sum(axis=1, keepdims=True) + _NOISE
        for (_, new), closer in zip(batch, nearer, strict=True):
            rest = keys != new.key
            if closer[rest].mean() > most:
                unlike.add(new.key)
    return unlike


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, _NOISE), dtype=np.float32)
