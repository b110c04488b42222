"""What is listed, and what the ledger says of it: where `run` begins, and what `plan` shows."""

from __future__ import annotations

from collections.abc import Iterable

from raypipe.core.book import Book
from raypipe.core.errors import SetupError
from raypipe.run.job import Job
from raypipe.run.planner import KnownFailure, LedgerSnapshot, RunPlan, plan_run


def list_source(job: Job) -> list[Book]:
    """Return the books of a job's listing.

    Raises:
        SetupError: It cannot be listed, or nothing is there.
    """
    if job.only is not None and not job.only:
        return []
    books = list(job.store.list_books())
    if not books:
        raise SetupError(
            f"no book is there: {job.store.selection}; check storage's prefix and suffixes"
        )
    return books if job.only is None else [book for book in books if book.book_id in job.only]


def plan_from_ledger(job: Job, books: Iterable[Book], generation: str | None) -> RunPlan:
    """Take a listing apart by what the ledger says.

    Args:
        job: The job.
        books: Its listing.
        generation: Of the index; empty where it is yet to be made, None where finished is as far
            as a book gets.
    """
    return plan_run(
        books,
        _known(job, generation),
        recipe=job.recipe.document,
        skip=job.skip_processed,
        limit=job.limit,
        max_attempts=job.max_attempts,
        lasting=job.lasting,
        again=job.again,
    )


def _known(job: Job, generation: str | None) -> LedgerSnapshot:
    recipe = job.recipe
    failures = job.ledger.unresolved_failures()
    last = {
        row["book_id"]: KnownFailure(row["etag"], row["recipe"], row["retryable"], row["attempts"])
        for row in failures.to_pylist()
    }
    finished = job.ledger.documents.finished(recipe.document)
    summarized = job.ledger.documents.summarized(recipe.summary, besides=[recipe.document])
    if generation is None:
        return LedgerSnapshot(set(finished), {}, summarized, last)
    processed = job.ledger.checkpoint.versions(generation, recipe.document)
    return LedgerSnapshot(processed, finished, summarized, last)
