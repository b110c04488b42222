"""Plan a run from the listing of the source and the ledger, before any GET."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.core.book import Book
from raypipe.core.book_table import BookTable, is_one_of
from raypipe.core.fingerprint import Recipe
from raypipe.ledger.facade import Ledger
from raypipe.ledger.failure_log import MAX_ATTEMPTS, is_index_fault
from raypipe.state.version_index import VersionIndex, VersionSet


def _no_versions() -> VersionIndex:
    return VersionIndex.of({})


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
        finished: Returns the versions with a document of this recipe, and the part that holds it.
            It is called only if a book is to be processed.
        summarized: Returns the versions with a document of the same summary recipe but another
            embedder, and the part that holds it; called as `finished`.
        failures: The last unresolved failure of each book, by id.
        recipes: Document recipes for which a failure counts.
        missing: Ids of books that the index lacks although they are processed.
    """

    processed: VersionSet = field(default_factory=lambda: VersionSet.of(set()))
    finished: Callable[[], VersionIndex] = _no_versions
    summarized: Callable[[], VersionIndex] = _no_versions
    failures: Mapping[str, KnownFailure] = field(default_factory=dict)
    recipes: AbstractSet[str] = frozenset()
    missing: Collection[str] = ()


@dataclass(frozen=True)
class RunPlan:
    """The listing, split by what the run does; each listed book is in exactly one field.

    Args:
        processed: Ids of the books that are done.
        known_failures: Ids of the books with a permanent failure.
        ready: Finished or summarized books: no GET.
        new: Books to be read.
        over_limit: Ids of the books that the run leaves because of its limit.
    """

    processed: pa.ChunkedArray
    known_failures: pa.ChunkedArray
    ready: BookTable
    new: BookTable
    over_limit: pa.ChunkedArray

    @cached_property
    def todo(self) -> BookTable:
        """Return the books that the run processes.

        Finished books come first, because they are quickest. Those that an index refused before
        come last: many of them would stop the run before the other books.
        """
        is_refused = pc.greater(self.ready.table["attempts"], 0)
        first, last = self.ready.filter(pc.invert(is_refused)), self.ready.filter(is_refused)
        return BookTable(pa.concat_tables([first.table, self.new.table, last.table]))

    @property
    def skipped(self) -> pa.ChunkedArray:
        """Return the ids of the books that the run skips."""
        return _concat(self.processed, self.known_failures)

    @property
    def listed_ids(self) -> pa.ChunkedArray:
        """Return the ids of all listed books."""
        return _concat(self.skipped, self.over_limit, self.todo.book_ids)

    @cached_property
    def listed(self) -> int:
        """Return the number of listed books; a book that is listed twice counts once."""
        return int(pc.count_distinct(self.listed_ids).as_py())

    @property
    def repeated_ids(self) -> frozenset[str]:
        """Return the ids of the books that are listed more than once."""
        if self.listed == len(self.listed_ids):
            return frozenset()
        counts = pc.value_counts(self.listed_ids)
        is_repeated = pc.greater(counts.field("counts"), 1)
        return frozenset(counts.field("values").filter(is_repeated).to_pylist())


def _concat(*columns: pa.ChunkedArray) -> pa.ChunkedArray:
    return pa.chunked_array([chunk for column in columns for chunk in column.chunks], pa.string())


def read_snapshot(
    ledger: Ledger,
    recipe: Recipe,
    accepted: AbstractSet[str],
    generation: str | None,
    missing: Collection[str] = (),
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
    finished = partial(ledger.documents.finished_versions, accepted)
    summarized = partial(ledger.documents.summarized_versions, recipe.summary, exclude=accepted)
    if generation is None:
        versions = finished().versions
        return LedgerSnapshot(versions, _no_versions, summarized, failures, accepted)
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

    Raises:
        SetupError: The state cannot be read.
    """
    selection = selection or BookSelection()
    listed = _move_refused_last(BookTable.of(books), snapshot)
    is_recorded = snapshot.processed.find(listed.table)
    is_processed = pc.and_not(is_recorded, is_one_of(listed.book_ids, snapshot.missing))
    is_done = pc.and_not(is_processed, _is_reprocessed(listed, selection))
    processed = listed.filter(is_done).book_ids
    rest = listed.filter(pc.invert(is_done))
    failures = _find_failures(rest, snapshot)
    rest = rest.append_column("attempts", _attempts_of(failures, len(rest)))
    is_permanent = pc.and_not(
        _is_skipped(failures, len(rest), selection), _is_reprocessed(rest, selection)
    )
    pending = rest.filter(pc.invert(is_permanent))
    todo = _add_parts(pending[: selection.limit], snapshot, selection)
    has_part = pc.not_equal(todo.table["part"], "")
    return RunPlan(
        processed=processed,
        known_failures=rest.filter(is_permanent).book_ids,
        ready=_sort_by_part(todo.filter(has_part)),
        new=todo.filter(pc.invert(has_part)),
        over_limit=pending[len(todo) :].book_ids,
    )


def _move_refused_last(books: BookTable, snapshot: LedgerSnapshot) -> BookTable:
    """Put the books that the index refused before last, so that they use up no limit."""
    refused = [book_id for book_id, failure in snapshot.failures.items() if failure.is_index_fault]
    if not refused:
        return books
    is_refused = is_one_of(books.book_ids, refused)
    first, last = books.filter(pc.invert(is_refused)), books.filter(is_refused)
    return BookTable(pa.concat_tables([first.table, last.table]))


def _is_reprocessed(books: BookTable, selection: BookSelection) -> Any:
    """Return a mask of the books that are read again whatever the ledger records."""
    if not selection.skip_processed:
        return pa.array(np.ones(len(books), dtype=bool))
    return is_one_of(books.book_ids, selection.reprocess)


def _find_failures(books: BookTable, snapshot: LedgerSnapshot) -> dict[int, KnownFailure]:
    """Return the failures that count, by the position of their book."""
    if not snapshot.failures:
        return {}
    has_failed = is_one_of(books.book_ids, snapshot.failures)
    positions = np.flatnonzero(has_failed.to_numpy(zero_copy_only=False))
    rows = books.table.select(["book_id", "etag"]).take(pa.array(positions))
    columns = (rows[name].to_pylist() for name in ("book_id", "etag"))
    found = {}
    for position, book_id, etag in zip(positions.tolist(), *columns, strict=True):
        failure = snapshot.failures[book_id]
        # Otherwise the book or the settings changed since.
        if failure.etag == etag and failure.recipe in snapshot.recipes:
            found[position] = failure
    return found


def _attempts_of(failures: Mapping[int, KnownFailure], books: int) -> pa.Array:
    attempts = np.zeros(books, dtype=np.int32)
    for position, failure in failures.items():
        attempts[position] = failure.attempts
    return pa.array(attempts)


def _is_skipped(
    failures: Mapping[int, KnownFailure], books: int, selection: BookSelection
) -> pa.Array:
    """Return a mask of the books with a permanent failure, unless these are tried again."""
    skipped = np.zeros(books, dtype=bool)
    for position, failure in failures.items():
        skipped[position] = _skips(failure, selection)
    return pa.array(skipped)


def _skips(failure: KnownFailure, selection: BookSelection) -> bool:
    if selection.include_permanent_failures:
        return False
    return failure.is_permanent(selection.max_attempts)


def _add_parts(books: BookTable, snapshot: LedgerSnapshot, selection: BookSelection) -> BookTable:
    """Add the documents part that holds a book's document or summary, or ''."""
    is_read = _is_reprocessed(books, selection)
    parts: Any = pa.nulls(len(books), pa.string())
    for versions in (snapshot.finished, snapshot.summarized):
        if pc.any(pc.and_not(pc.is_null(parts), is_read)).as_py():
            found = pc.coalesce(parts, versions().find(books.table))
            parts = pc.if_else(is_read, parts, found)
    return books.append_column("part", pc.fill_null(parts, ""))


def _sort_by_part(books: BookTable) -> BookTable:
    """Sort books by part, stably: batches are split by part, so that a part is opened once."""
    order = pa.table({"part": books.table["part"], "row": np.arange(len(books))})
    by_part = pc.sort_indices(order, [("part", "ascending"), ("row", "ascending")])
    return BookTable(books.table.take(by_part))
