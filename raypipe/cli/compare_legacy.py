"""Compare finished documents with another system's results, for `verify against=...`."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

from raypipe.core.book import Book
from raypipe.core.errors import BookError, OptionError, SetupError
from raypipe.core.paths import expand_home
from raypipe.embedders.protocol import Embedder
from raypipe.ledger.document_store import DocumentStore
from raypipe.sources.listing import list_all
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

MEANINGS: Mapping[str, str] = {
    "lacking": "an old result, but no new document; `raypipe run` makes the document",
    "unlike": "the old summary is closer to other books; compare the two summaries",
    "titles": "the title or the author differs from the old result",
    "unlisted": "an old result, but no book at the source",
    "unreadable": "the file or the folder could not be read",
}
"""What each list of a `Comparison` means, in the order of the report."""

_THREADS = 16


def compare_with_legacy(
    against: str,
    listing: Iterable[Book],
    store: BookSource,
    state: State,
    embedder: Embedder,
    most_nearer: float,
) -> Comparison:
    """Compare the finished documents of a state with old results.

    Args:
        against: A folder, a file, or `s3://bucket/prefix` with the old results.
        listing: The books at the source.
        store: The source; old results on S3 are read with its connection.
        state: Where the finished documents are.
        embedder: Turns summaries into vectors to compare.
        most_nearer: See `raypipe.verify.compare.compare`.

    Raises:
        SetupError: There are no results at `against`, or they cannot be listed.
    """
    results, unreadable = _read_results(_open_results(against, store))
    if not results:
        reason = f"; {unreadable[0]}" if unreadable else ""
        raise SetupError(
            f"against={against} has no results in {', '.join(SUFFIXES)} files{reason}; give the "
            "folder of the old summaries, or a file of processed keys"
        )
    candidates = {
        row.pop("book_id"): Candidate(**row)
        for row in DocumentStore(state).read_newest_summaries().to_pylist()
    }
    for book in listing:
        candidates.setdefault(book.book_id, Candidate(book.key, finished=False))
    comparison = compare(results, candidates.values(), embedder, most_nearer)
    return dataclasses.replace(comparison, unreadable=unreadable)


def _open_results(against: str, store: BookSource) -> BookSource:
    if against.startswith("s3://"):
        bucket, _, prefix = against.removeprefix("s3://").partition("/")
        if not bucket:
            raise SetupError(f"against={against} has no bucket; write s3://bucket/prefix")
        if isinstance(store, S3BookSource):
            return dataclasses.replace(store, bucket=bucket, prefix=prefix, suffixes=SUFFIXES)
        return S3BookSource(bucket, prefix, SUFFIXES)
    try:
        path = expand_home(against, "against")
    except ValueError as error:
        raise OptionError(str(error)) from None
    # Unlike those of Path, these raise no error for a name that cannot exist.
    if os.path.isfile(path):  # noqa: PTH113
        # A link that is named is followed.
        return LocalBookSource(str(path.parent), path.name, SUFFIXES, follow_links=True)
    if not os.path.isdir(path):  # noqa: PTH112
        raise SetupError(
            f"against={against} does not exist or cannot be read; give a folder, a file or s3://bucket/prefix"
        )
    follow_links = isinstance(store, LocalBookSource) and store.follow_links
    return LocalBookSource(str(path), suffixes=SUFFIXES, follow_links=follow_links)


def _read_results(store: BookSource) -> tuple[list[LegacyResult], list[str]]:
    """Return the results, and a line for each file that could not be read."""
    listing = list_all(store)
    results: list[LegacyResult] = []
    unreadable = [f"{folder.prefix}: {folder.reason}" for folder in listing.unlisted]
    with ThreadPoolExecutor(_THREADS) as pool:
        for outcome in pool.map(lambda file: _read_file(store, file), listing.books):
            if isinstance(outcome, str):
                unreadable.append(outcome)
            else:
                results += outcome
    return results, unreadable


def _read_file(store: BookSource, file: Book) -> list[LegacyResult] | str:
    """Return the results in a file, or the reason why it could not be read."""
    try:
        return read_legacy_results(file.key, store.read(file))
    except UnreadableError as error:
        return f"{file.key}: {error}"
    except BookError as error:
        return error.message
