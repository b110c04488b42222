"""List the source and plan a run from the listing and the ledger, before any GET."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace

from raypipe.core.book import Book
from raypipe.core.errors import SetupError
from raypipe.core.fingerprint import Recipe
from raypipe.ledger.facade import Ledger
from raypipe.ledger.failure_log import MAX_ATTEMPTS, is_index_fault
from raypipe.sources import BookSource
from raypipe.sources.listing import Listing, UnlistedFolder, describe_unlisted, list_all

Version = tuple[str, str]
"""Id and ETag of a book."""


@dataclass(frozen=True)
class BookSelection:
    """Which listed books a run processes.

    Args:
        limit: Maximum number of books to process; None for all.
        skip_processed: Whether to skip books that the ledger calls processed or finished.
        max_attempts: Number of runs that try a retryable failure.
        include_permanent_failures: Whether to try permanent failures too.
        book_ids: Process these books only; None for every listed book.
        reprocess: Ids of books to read again even if they are processed or finished.
    """

    limit: int | None = None
    skip_processed: bool = True
    max_attempts: int = MAX_ATTEMPTS
    include_permanent_failures: bool = False
    book_ids: AbstractSet[str] | None = None
    reprocess: AbstractSet[str] = frozenset()


@dataclass(frozen=True, slots=True)
class KnownFailure:
    """The last failure of a book, reduced to what planning needs."""

    etag: str
    recipe: str
    retryable: bool
    attempts: int
    is_index_fault: bool = False

    def is_permanent(self, max_attempts: int) -> bool:
        """Whether a run leaves the book alone until its ETag or recipe changes."""
        if self.is_index_fault:
            return False
        return not self.retryable or self.attempts >= max_attempts


@dataclass(frozen=True)
class LedgerSnapshot:
    """What the ledger records for the recipe and the index generation of a run.

    Args:
        processed: Versions that the index acknowledged.
        finished: Versions with a document of this recipe, and the part that holds it.
        summarized: Versions with a document of the same summary recipe but another embedder,
            and the part that holds it.
        failures: The last unresolved failure of each book, by id.
        recipes: Document recipes for which a failure counts.
        missing: Ids of books that the index lacks although they are processed.
    """

    processed: Container[Version] = frozenset()
    finished: Mapping[Version, str] = field(default_factory=dict)
    summarized: Mapping[Version, str] = field(default_factory=dict)
    failures: Mapping[str, KnownFailure] = field(default_factory=dict)
    recipes: AbstractSet[str] = frozenset()
    missing: Container[str] = ()


@dataclass
class RunPlan:
    """The listing, split by what the run does; each listed id is in exactly one field."""

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
        """Return the books that the run processes.

        Finished books come first, because they are quickest. Those that an index refused before
        come last: many of them would stop the run before the other books.
        """
        refused = [book for book in self.ready if book.attempts]
        return [*(book for book in self.ready if not book.attempts), *self.new, *refused]

    @property
    def skipped(self) -> set[str]:
        """Return the ids that the run skips."""
        return {*self.processed, *self.known_failures}


def list_source(source: BookSource, book_ids: AbstractSet[str] | None = None) -> Listing:
    """Return the books of a source, and which of its folders could not be listed.

    Args:
        source: The source.
        book_ids: Return these books only; None for all.

    Raises:
        SetupError: The source cannot be listed, or holds no book.
    """
    if book_ids is not None and not book_ids:
        return Listing([])
    listing = list_all(source)
    books = listing.books
    if not books:
        raise _no_books(source, listing.unlisted)
    if book_ids is not None:
        books = [book for book in books if book.book_id in book_ids]
    return Listing(books, listing.unlisted)


def check_has_books(source: BookSource) -> None:
    """Find the first book of a source.

    Raises:
        SetupError: The source cannot be listed, or holds no book.
    """
    if next(iter(source.list_books()), None) is None:
        raise _no_books(source)


def _no_books(source: BookSource, unlisted: Sequence[UnlistedFolder] = ()) -> SetupError:
    reason = "check storage's prefix and suffixes"
    if unlisted:
        reason = describe_unlisted(unlisted)
    return SetupError(f"no books found: {source.selection}; {reason}")


def read_snapshot(
    ledger: Ledger,
    recipe: Recipe,
    accepted: AbstractSet[str],
    generation: str | None,
    missing: Container[str] = (),
) -> LedgerSnapshot:
    """Read from the ledger what `plan_run` needs.

    Args:
        ledger: The ledger.
        recipe: Recipe of the run.
        accepted: Document recipes whose documents count as finished.
        generation: Generation of the index; '' if the index does not exist yet, None for a run
            that stops at finished documents.
        missing: Ids of books that the index lacks although the ledger has them.
    """
    failures = {
        row["book_id"]: KnownFailure(
            row["etag"],
            row["recipe"],
            row["retryable"],
            row["attempts"],
            is_index_fault(row["kind"], row["message"]),
        )
        for row in ledger.unresolved_failures().to_pylist()
    }
    finished = ledger.documents.finished_versions(accepted)
    summarized = ledger.documents.summarized_versions(recipe.summary, exclude=accepted)
    if generation is None:
        return LedgerSnapshot(set(finished), {}, summarized, failures, accepted)
    processed = ledger.checkpoint.processed_versions(generation, accepted)
    return LedgerSnapshot(processed, finished, summarized, failures, accepted, missing)


def plan_run(
    books: Iterable[Book],
    snapshot: LedgerSnapshot,
    selection: BookSelection | None = None,
) -> RunPlan:
    """Split a listing by what a run does with each book.

    Args:
        books: The listing.
        snapshot: What the ledger records.
        selection: Which books to process; None for the defaults.
    """
    selection = selection or BookSelection()
    plan = RunPlan()
    # Books that the index refused before are last, so that they use up no limit.
    for book in sorted(books, key=lambda book: _is_refused(book, snapshot)):
        version = (book.book_id, book.etag)
        failure = snapshot.failures.get(book.book_id)
        if failure and not (failure.etag == book.etag and failure.recipe in snapshot.recipes):
            failure = None  # the book or the settings changed since
        reprocess = not selection.skip_processed or book.book_id in selection.reprocess
        is_processed = version in snapshot.processed and book.book_id not in snapshot.missing
        if not reprocess and is_processed:
            plan.processed.append(book.book_id)
        elif not reprocess and failure and _skips(failure, selection):
            plan.known_failures.append(book.book_id)
        elif selection.limit is not None and len(plan.ready) + len(plan.new) >= selection.limit:
            plan.over_limit.append(book.book_id)
        else:
            part = "" if reprocess else _finished_part(version, snapshot)
            attempts = failure.attempts if failure else 0
            target = plan.ready if part else plan.new
            target.append(replace(book, attempts=attempts, part=part))
    # Batches of finished books are split by part, so that each part is opened once.
    plan.ready.sort(key=lambda book: book.part)
    return plan


def _is_refused(book: Book, snapshot: LedgerSnapshot) -> bool:
    failure = snapshot.failures.get(book.book_id)
    return failure is not None and failure.is_index_fault


def _skips(failure: KnownFailure, selection: BookSelection) -> bool:
    if selection.include_permanent_failures:
        return False
    return failure.is_permanent(selection.max_attempts)


def _finished_part(version: Version, snapshot: LedgerSnapshot) -> str:
    """Return the documents part that holds a version's document or summary, or ''."""
    return snapshot.finished.get(version) or snapshot.summarized.get(version) or ""
