"""Compare finished documents with another system's results, book by book."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from raypipe.core import exit_codes
from raypipe.embedders.protocol import Embedder
from raypipe.verify.legacy_results import LegacyResult

DEFAULT_MAX_NEARER = 0.1
"""Default share of other books that may be nearer to an old summary than its own book."""

_SAMPLE_SIZE = 200
_BATCH = 256
_TOLERANCE = 1e-6
_WORDS = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A finished document, or a listed book without one, to compare with an old result.

    Args:
        key: The book's key.
        title: Title of the document.
        author: Author of the document.
        summary: Summary of the document.
        finished: Whether the book has a finished document.
    """

    key: str
    title: str = ""
    author: str = ""
    summary: str = ""
    finished: bool = True


@dataclass
class Comparison:
    """Each old result in exactly one of `good`, `lacking`, `unlike` and `unlisted`.

    Books are given by key. The names are keys of `output=json`.

    Attributes:
        good: There is a finished document for the result.
        lacking: The book is listed, but has no finished document.
        unlike: The old summary fits other books better than its own.
        unlisted: The source has no such book; given by title, or by key without a title.
        titles: Title or author differ; these books are also in `good` or `unlike`.
        unreadable: Files that could not be read, with the reason.
        new: Number of finished documents without an old result.
    """

    good: list[str] = field(default_factory=list)
    lacking: list[str] = field(default_factory=list)
    unlike: list[str] = field(default_factory=list)
    unlisted: list[str] = field(default_factory=list)
    titles: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    new: int = 0

    @property
    def exit_code(self) -> int:
        """Return 1 if a result has no good counterpart, or could not be read; else 0."""
        has_differences = self.lacking or self.unlike or self.unreadable
        return exit_codes.ERROR if has_differences else exit_codes.OK


def compare(
    legacy_results: Iterable[LegacyResult],
    candidates: Collection[Candidate],
    embedder: Embedder,
    max_nearer: float = DEFAULT_MAX_NEARER,
) -> Comparison:
    """Compare old results with new documents.

    A result is matched to a book by its key, else by its file name, else by title and author.

    Args:
        legacy_results: The old results; if a book has several, the last one is used.
        candidates: The listed and the finished books.
        embedder: Embeds the summaries; any offline embedder will do.
        max_nearer: Share of other books, of a sample of about 200, that may be nearer to an old
            summary than its own book; 1 to skip the comparison of summaries.
    """
    comparison, matcher = Comparison(), _BookMatcher(candidates)
    pairs: dict[str, tuple[LegacyResult, Candidate]] = {}
    for result in legacy_results:
        candidate = matcher.find(result)
        if candidate is None:
            comparison.unlisted.append(result.title or result.key)
        else:
            pairs[candidate.key] = (result, candidate)
    comparison.lacking = [key for key, (_, new) in pairs.items() if not new.finished]
    comparison.new = sum(new.finished and new.key not in pairs for new in candidates)
    finished = [pair for pair in pairs.values() if pair[1].finished]
    comparison.titles = [new.key for old, new in finished if not _has_same_names(old, new)]
    unlike = _find_unlike(finished, candidates, embedder, max_nearer)
    for _, new in finished:
        (comparison.unlike if new.key in unlike else comparison.good).append(new.key)
    return comparison


class _BookMatcher:
    """Find the book of an old result by key, file name, or title and author."""

    def __init__(self, candidates: Iterable[Candidate]) -> None:
        self._by_key: dict[str, Candidate] = {}
        self._by_stem: dict[str, Candidate | None] = {}
        self._by_names: dict[str, Candidate | None] = {}
        for candidate in candidates:
            self._by_key[candidate.key] = candidate
            self._add(self._by_stem, _normalize(PurePosixPath(candidate.key).stem), candidate)
            if candidate.title:
                self._add(self._by_names, _names(candidate.title, candidate.author), candidate)

    @staticmethod
    def _add(index: dict[str, Candidate | None], name: str, candidate: Candidate) -> None:
        # A name that two books share matches neither.
        is_unique = name not in index or index[name] == candidate
        index[name] = candidate if is_unique else None

    def find(self, result: LegacyResult) -> Candidate | None:
        """Return the book of an old result, or None."""
        key = re.sub(r"^s3://[^/]+/", "", result.key)
        path = PurePosixPath(key)
        return (
            self._by_key.get(key)
            or self._by_stem.get(_normalize(path.name))
            or self._by_stem.get(_normalize(path.stem))
            or (self._by_names.get(_names(result.title, result.author)) if result.title else None)
        )


def _has_same_names(old: LegacyResult, new: Candidate) -> bool:
    """Return whether the old title and author, where known, equal the new ones."""
    return all(
        not old_name or _normalize(old_name) == _normalize(new_name)
        for old_name, new_name in ((old.title, new.title), (old.author, new.author))
    )


def _names(title: str, author: str) -> str:
    return f"{_normalize(title)} by {_normalize(author)}"


def _normalize(text: str) -> str:
    """Return the words of a text in lower case, without punctuation."""
    return " ".join(_WORDS.findall(text.casefold()))


def _find_unlike(
    pairs: Sequence[tuple[LegacyResult, Candidate]],
    candidates: Collection[Candidate],
    embedder: Embedder,
    max_nearer: float,
) -> set[str]:
    """Return the keys of books whose old summary is nearer to other books than to its own.

    A threshold on the cosine does not work: it was 0.14 to 0.92 between two summaries of the same
    book, and up to 0.58 between two books (24 books, wordllama). Among 23 other books, the own
    book was the nearest for 22 of 24.
    """
    both = [(old.summary, new) for old, new in pairs if old.summary and new.summary]
    finished = [candidate for candidate in candidates if candidate.summary]
    sample = finished[:: max(1, len(finished) // _SAMPLE_SIZE)]
    if not both or len(sample) < 2 or max_nearer >= 1:
        return set()
    sample_vectors = _to_unit_vectors(embedder.embed([candidate.summary for candidate in sample]))
    sample_keys = np.array([candidate.key for candidate in sample])
    unlike: set[str] = set()
    for start in range(0, len(both), _BATCH):
        batch = both[start : start + _BATCH]
        old = _to_unit_vectors(embedder.embed([summary for summary, _ in batch]))
        own = _to_unit_vectors(embedder.embed([new.summary for _, new in batch]))
        own_similarity = (old * own).sum(axis=1, keepdims=True)
        is_nearer = old @ sample_vectors.T > own_similarity + _TOLERANCE
        for (_, new), nearer in zip(batch, is_nearer, strict=True):
            if nearer[sample_keys != new.key].mean() > max_nearer:
                unlike.add(new.key)
    return unlike


def _to_unit_vectors(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the vectors with length 1, shape (count, dimension)."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, _TOLERANCE), dtype=np.float32)
