"""The JSON API: search, books, status, runs and failures. `/openapi.json` describes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends

from raypipe.ledger.failure_log import FailuresReport, group_by_kind
from raypipe.ledger.run_history import RunReport
from raypipe.opensearch.search.facets import FacetValue
from raypipe.opensearch.search.filters import Filters
from raypipe.web.parameters import (
    HITS,
    BookId,
    Description,
    Kind,
    Limit,
    Rows,
    RunName,
    read_filters,
)
from raypipe.web.readers import BookReader, BookReport, RunReader, SearchResult


@dataclass(frozen=True)
class Problem:
    """Why a request was not answered.

    Attributes:
        error: What happened, and what to do.
    """

    error: str


@dataclass(frozen=True)
class StatusReport(RunReport):
    """The newest run, and the failed books of the state.

    Attributes:
        failures: Number of failed books of each kind.
    """

    failures: Mapping[str, int]


PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem} for status in (400, 404, 422, 503)
}
"""Statuses of a problem, for the description of the API."""


def make_api(books: BookReader, runs: RunReader) -> APIRouter:
    """Return the routes of the API.

    Args:
        books: Reads books.
        runs: Reads runs and failures.
    """
    router = APIRouter(prefix="/api", responses=PROBLEMS)

    @router.get("/search")
    def search(
        filters: Annotated[Filters, Depends(read_filters)], q: Description = "", limit: Limit = HITS
    ) -> SearchResult:
        """Find books by a description, or list the books that meet the filters."""
        return books.search(q, limit, filters)

    @router.get("/filters")
    def list_filters() -> Mapping[str, Sequence[FacetValue]]:
        """List the values that the index holds for each filter of `/api/search`."""
        return books.read_facets()

    @router.get("/books/{book_id}")
    def show_book(book_id: BookId) -> BookReport:
        """Show what happened to a book, and what the index has of it."""
        return books.read(book_id)

    @router.get("/status")
    def show_status() -> StatusReport:
        """Show how far the newest run is, or how it ended."""
        failed = {kind: len(found) for kind, found in group_by_kind(runs.failures())}
        return StatusReport(**vars(RunReport.of(runs.find())), failures=failed)

    @router.get("/runs")
    def list_runs(limit: Rows = 20) -> list[RunReport]:
        """List the runs, the newest first."""
        return [RunReport.of(run) for run in runs.newest(limit)]

    @router.get("/runs/{run}")
    def show_run(run: RunName) -> RunReport:
        """Show how far a run is, or how it ended."""
        return RunReport.of(runs.find(run))

    @router.get("/failures")
    def list_failures(kind: Kind = "", limit: Rows = 100) -> FailuresReport:
        """List the newest failures that no later run resolved, and count all of them by kind."""
        found = [book for book in runs.failures() if kind in ("", book.kind)]
        report = FailuresReport.of(found[::-1][:limit])
        return FailuresReport(len(found), FailuresReport.of(found).kinds, report.failures)

    return router
