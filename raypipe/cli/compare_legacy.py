"""`verify against=...`: another system's results, found in a folder or a bucket, and compared."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from raypipe.core.book import Book
from raypipe.core.errors import BookError, SetupError
from raypipe.core.s3 import S3Connection
from raypipe.embedders.protocol import Embedder
from raypipe.ledger.documents import DocumentStore
from raypipe.sources.local import LocalBookSource
from raypipe.sources.protocol import BookSource
from raypipe.sources.s3 import S3BookSource
from raypipe.state.store import State
from raypipe.verify.compare import Candidate, Comparison, compare
from raypipe.verify.legacy_results import (
    SUFFIXES,
    LegacyResult,
    UnreadableError,
    read_legacy_results,
)

MEANING: Mapping[str, str] = {
    "lacking": "has an old result and no new one; `raypipe run` makes it",
    "unlike": "its old summary fits other books better: look at both",
    "titles": "has another title or author than before",
    "unlisted": "has an old result, but is not at the source",
    "unreadable": "could not be read",
}
_THREADS = 16


def compare_with(
    place: str,
    listing: Iterable[Book],
    store: BookSource,
    state: State,
    embedder: Embedder,
    most_nearer: float,
) -> Comparison:
    """Hold the finished documents of a state against the old results at a place.

    Args:
        place: A folder, a file, or `s3://bucket/prefix`.
        listing: The books at the source.
        store: The source; its connection is used for S3.
        state: Where the finished documents are.
        embedder: Compares summaries.
        most_nearer: See `compare`.

    Raises:
        SetupError: The place cannot be listed, or holds no results.
    """
    originals, unreadable = _read(_old_store(place, store))
    if not originals:
        why = f"; {unreadable[0]}" if unreadable else ""
        raise SetupError(
            f"against={place} holds no results in {', '.join(SUFFIXES)} files{why}; give the folder"
            " of the old summaries, or a file of processed keys"
        )
    finished = {
        cell.pop("book_id"): Candidate(**cell)
        for cell in DocumentStore(state).read_newest_summaries().to_pylist()
    }
    candidates = dict(finished)
    for book in listing:
        candidates.setdefault(book.book_id, Candidate(book.key, finished=False))
    found = compare(originals, candidates.values(), embedder, most_nearer)
    return dataclasses.replace(found, unreadable=unreadable)


def _old_store(place: str, store: BookSource) -> BookSource:
    if place.startswith("s3://"):
        bucket, _, prefix = place.removeprefix("s3://").partition("/")
        connection = store.connection or S3Connection()
        return S3BookSource(bucket, prefix, SUFFIXES, **dataclasses.asdict(connection))
    path = Path(place)
    if path.is_file():
        return LocalBookSource(str(path.parent), prefix=path.name, suffixes=SUFFIXES)
    if not path.is_dir():
        raise SetupError(
            f"against={place} is not there; give a folder, a file or s3://bucket/prefix"
        )
    return LocalBookSource(str(path), suffixes=SUFFIXES)


def _read(store: BookSource) -> tuple[list[LegacyResult], list[str]]:
    """Return the results, and a line for each file that holds none."""
    originals: list[LegacyResult] = []
    unreadable: list[str] = []
    with ThreadPoolExecutor(_THREADS) as pool:
        for found in pool.map(lambda book: _read_one(store, book), store.list_books()):
            if isinstance(found, str):
                unreadable.append(found)
            else:
                originals += found
    return originals, unreadable


def _read_one(store: BookSource, book: Book) -> list[LegacyResult] | str:
    try:
        return read_legacy_results(book.key, store.read(book))
    except UnreadableError as error:
        return f"{book.key}: {error}"
    except BookError as error:
        return error.message
