"""Read what the page shows: hits and books of the index, runs and failures of the state."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from raypipe.core.errors import OptionError, SetupError
from raypipe.core.timed_value import TimedValue
from raypipe.ledger.book_history import BookHistory, Rows, read_history
from raypipe.ledger.facade import Ledger
from raypipe.ledger.failure_log import FailedBook
from raypipe.ledger.lock_owner import LockOwner
from raypipe.ledger.run_history import RUNNING, RunState, find_run, list_run_ids, read_listed_run
from raypipe.ledger.run_records import report_name
from raypipe.opensearch.index import IndexAlias
from raypipe.opensearch.index.entry import IndexEntry, read_entry
from raypipe.opensearch.index.mapping import FIELDS
from raypipe.opensearch.search import BookSearcher, Hit
from raypipe.opensearch.search.facets import Facets
from raypipe.opensearch.search.filters import Filters

_FAILURES_S = 5.0
"""Seconds for which failures are used again: of a million books, they take seconds to read."""

OpenLedger = Callable[[], Ledger]
"""Opens the ledger; raises `SetupError` if there is no state."""


class NotFoundError(SetupError):
    """There is no such book or run."""


@dataclass(frozen=True)
class SearchResult:
    """The hits of a search.

    Attributes:
        query: The description.
        filters: Values of the filters that are set, by name.
        hits: Books, best first.
        seconds: Duration of the search.
    """

    query: str
    filters: Mapping[str, str]
    hits: list[Hit]
    seconds: float


@dataclass(frozen=True)
class BookReport:
    """A book, as `raypipe show KEY output=json` reports it.

    Attributes:
        status: `deleted`, `failed`, `indexed` or `finished`.
        book_id: Id of the book.
        key: Key of the book in its source.
        documents: Finished documents without vectors, oldest first.
        processed: Acknowledgements of indices; those without a recipe are deletions.
        failures: The last failure in each run.
        deletions: Deletions from the source, and returns to it.
        index: What the served index has of the book.
    """

    status: str
    book_id: str
    key: str
    documents: Rows
    processed: Rows
    failures: Rows
    deletions: Rows
    index: IndexEntry

    @property
    def document(self) -> Mapping[str, Any]:
        """Return the newest document, of the state or the index; missing fields are None."""
        newest = self.documents[-1] if self.documents else self.index.document or {}
        return {**dict.fromkeys(FIELDS), **newest}

    @property
    def has_document(self) -> bool:
        """Whether the state or the index has a document of the book."""
        return bool(self.documents or self.index.document)


class BookReader:
    """Reads books. Threads may share it.

    Args:
        searcher: Searches the index.
        alias: The index.
        open_ledger: Opens the ledger of the state.
    """

    def __init__(self, searcher: BookSearcher, alias: IndexAlias, open_ledger: OpenLedger) -> None:
        self.alias = alias
        self._searcher = searcher
        self._open_ledger = open_ledger

    def search(self, query: str, limit: int, filters: Filters) -> SearchResult:
        """Return the hits of a search; arguments and errors as `BookSearcher.find`."""
        began = time.perf_counter()
        hits = self._searcher.find(query, limit, filters)
        return SearchResult(query, filters.chosen(), hits, time.perf_counter() - began)

    def read_facets(self) -> Facets:
        """Return the values to choose filters from; errors as `BookSearcher.read_facets`."""
        return self._searcher.read_facets()

    def read(self, book_id: str) -> BookReport:
        """Return a book by its id. A state or an index that cannot be read is no error.

        Raises:
            NotFoundError: Neither the state nor the index has the book.
            SetupError: Neither the state nor the index can be read.
        """
        entry = read_entry(self.alias, book_id, FIELDS)
        problem = ""
        history = BookHistory(book_id)
        try:
            history = read_history(self._open_ledger(), book_id)
        except SetupError as error:
            problem = str(error)
        records = (history.documents, history.processed, history.failures, history.deletions)
        is_recorded = any(records)
        if not is_recorded and entry.document is None:
            if problem and entry.problem:
                raise SetupError(f"{problem}; {entry.problem}")
            raise NotFoundError(f"there is no book with the id {book_id}")
        key = history.key or str((entry.document or {}).get("key", ""))
        status = history.status if is_recorded else "indexed"
        return BookReport(status, book_id, key, *records, entry)


class RunReader:
    """Reads runs and failures of a state; no lock is taken. Threads may share it.

    Args:
        open_ledger: Opens the ledger of the state.
        clock: Seconds that never go back.
    """

    def __init__(
        self, open_ledger: OpenLedger, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._open_ledger = open_ledger
        self._failures = TimedValue(lambda: open_ledger().failed_books(), _FAILURES_S, clock)
        self._ended: dict[str, RunState] = {}
        self._silent: set[LockOwner] = set()

    def newest(self, limit: int) -> list[RunState]:
        """Return the runs, the newest first.

        Args:
            limit: Most runs.

        Raises:
            SetupError: There is no state, or it cannot be read.
        """
        state = self._open_ledger().state
        return [self._read(run_id) for run_id in list_run_ids(state)[:limit]]

    def find(self, name: str = "") -> RunState:
        """Return the run with an id or a number; the newest run for an empty name.

        Raises:
            NotFoundError: There is no such run.
            SetupError: There is no state, it cannot be read, or the record is damaged.
        """
        try:
            return find_run(self._open_ledger().state, name, silent=self._silent)
        except OptionError as error:
            raise NotFoundError(str(error)) from None

    def has_report(self, run: RunState) -> bool:
        """Return whether a run has written its report.

        Raises:
            SetupError: The state cannot be read.
        """
        name = report_name(run.run_id)
        return name in self._open_ledger().state.list(name)

    def read_report(self, name: str) -> bytes:
        """Return the report of a run: a page of HTML.

        Args:
            name: As for `find`.

        Raises:
            NotFoundError: There is no such run, or it has no report.
            SetupError: The state cannot be read.
        """
        run = self.find(name)
        report = self._open_ledger().state.get(report_name(run.run_id))
        if report is None:
            raise NotFoundError(f"run {run.run_id or run.run_seq} has no report")
        return report

    def failures(self) -> list[FailedBook]:
        """Return the failures that no later run resolved, oldest first.

        Raises:
            SetupError: There is no state, or it cannot be read.
        """
        return self._failures.get()

    def _read(self, run_id: str) -> RunState:
        if run_id not in self._ended:
            run = read_listed_run(self._open_ledger().state, run_id, silent=self._silent)
            if run.record is None or run.status == RUNNING:
                return run
            self._ended[run_id] = run  # a record does not change; on S3 each read is a request
        return self._ended[run_id]
