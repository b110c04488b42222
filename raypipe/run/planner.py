"""What a run would do, decided from the listing and the ledger before any GET."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field, replace

from raypipe.core.book import Book

Version = tuple[str, str]
"""A book's id and ETag: this version of this book."""


@dataclass(frozen=True, slots=True)
class KnownFailure:
    """The last failure of a book, as far as planning needs it."""

    etag: str
    recipe: str
    retryable: bool
    attempts: int


@dataclass(frozen=True)
class LedgerSnapshot:
    """What the ledger says, all for the recipe and the index generation of this run.

    Args:
        processed: Versions that the index acknowledged.
        finished: Versions with a document of this recipe, and the part that holds it.
        summarized: The same for documents of the same summary recipe, another embedder.
        failures: The last failure of each book.
    """

    processed: Container[Version] = frozenset()
    finished: Mapping[Version, str] = field(default_factory=dict)
    summarized: Mapping[Version, str] = field(default_factory=dict)
    failures: Mapping[str, KnownFailure] = field(default_factory=dict)


@dataclass
class RunPlan:
    """The listing, taken apart; every listed id is in exactly one of these."""

    processed: list[str] = field(default_factory=list)
    known_failures: list[str] = field(default_factory=list)
    ready: list[Book] = field(default_factory=list)  # finished or summarized: no GET
    new: list[Book] = field(default_factory=list)  # to be read
    over_limit: list[str] = field(default_factory=list)

    @property
    def listed(self) -> set[str]:
        """Return the ids of all listed books."""
        return {*self.skipped, *self.over_limit, *(book.book_id for book in self.todo)}

    @property
    def todo(self) -> list[Book]:
        """Return what this run takes: finished books first, they are searchable soonest."""
        return [*self.ready, *self.new]

    @property
    def skipped(self) -> set[str]:
        """Return the ids that this run does not touch."""
        return {*self.processed, *self.known_failures}


def plan_run(
    books: Iterable[Book],
    known: LedgerSnapshot,
    *,
    recipe: str,
    skip: bool = True,
    limit: int | None = None,
    max_attempts: int = 3,
    lasting: bool = False,
    again: Container[str] = frozenset(),
) -> RunPlan:
    """Take the listing apart.

    Args:
        books: The listing.
        known: What the ledger says.
        recipe: The document recipe of this run.
        skip: False takes every book anew, whatever the ledger says.
        limit: Most books that are taken; the others are left.
        max_attempts: Failures that may pass are tried so often.
        lasting: Take the other failures too.
        again: Ids of books that are read again, whatever is finished of them.
    """
    result = RunPlan()
    for book in books:
        version = (book.book_id, book.etag)
        failure = known.failures.get(book.book_id)
        same = failure is not None and (failure.etag, failure.recipe) == (book.etag, recipe)
        attempts = failure.attempts if failure is not None and same else 0
        anew = not skip or book.book_id in again
        if not anew and version in known.processed:
            result.processed.append(book.book_id)
        elif not lasting and not anew and failure and same and _is_lasting(failure, max_attempts):
            result.known_failures.append(book.book_id)
        elif limit is not None and len(result.ready) + len(result.new) >= limit:
            result.over_limit.append(book.book_id)
        else:
            part = None if anew else known.finished.get(version) or known.summarized.get(version)
            target = result.ready if part else result.new
            target.append(replace(book, attempts=attempts, part=part or ""))
    # Parcels of finished books are cut by part, so that each part is opened once.
    result.ready.sort(key=lambda book: book.part)
    return result


def _is_lasting(failure: KnownFailure, max_attempts: int) -> bool:
    return not failure.retryable or failure.attempts >= max_attempts
