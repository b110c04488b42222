"""What an executor carries out: books through the stages into the sink."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from raypipe.core.book import Book
from raypipe.ledger.facade import Ledger
from raypipe.opensearch.index import Index
from raypipe.run.processing import AcceptedRecipes, Processing
from raypipe.sources import BookSource


class Checkable(Protocol):
    """A part that can tell, before the first book, that every book would fail."""

    def check(self) -> None:
        """Check that the part works here.

        Raises:
            SetupError: It does not; the message says what to do.
        """


@dataclass(frozen=True)
class Work:
    """The books of a run and what processes them.

    Args:
        books: The books, in the order in which they start.
        source: Where the books are read.
        processing: What turns a book into a document.
        ledger: Where results are recorded.
        index: Where documents are indexed; None stops at finished documents.
        run_id: Id of the run.
        run_seq: Number of the run.
        required: Parts to check on a worker before the first book.
        accepted: Recipes whose documents count as finished.
        listed: Number of books at the source.
    """

    books: Sequence[Book]
    source: BookSource
    processing: Processing
    ledger: Ledger
    index: Index | None
    run_id: str
    run_seq: int
    required: Sequence[Checkable]
    accepted: AcceptedRecipes
    listed: int = 0
