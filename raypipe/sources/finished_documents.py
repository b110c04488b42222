"""Finished documents as the source of a run: what `index` lists instead of a bucket."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from raypipe.core.book import Book, BookError
from raypipe.ledger.documents import DocumentStore
from raypipe.ledger.tombstones import Tombstones, exclude_books


@dataclass(frozen=True)
class FinishedDocumentSource:
    """A `BookStore` that lists the newest finished document of each book, and reads none.

    Args:
        documents: The finished documents.
        recipe: The document recipe whose documents count.
    """

    documents: DocumentStore
    recipe: str

    @property
    def identity(self) -> str:
        """Name the place: no book gets an id from it, documents bring theirs."""
        return f"documents/{self.recipe}"

    @property
    def selection(self) -> str:
        """Say which documents are meant, for a person."""
        return f"the finished documents of the recipe {self.recipe} in {self.documents.state.uri}"

    def check(self) -> None:
        """Do nothing: that the documents can be read was seen when they were listed."""

    def list_books(self) -> Iterator[Book]:
        """Yield each book as its newest finished document describes it, in no order.

        Books that were removed at the source are left out.
        """
        removed = Tombstones(self.documents.state).standing()
        for cell in exclude_books(self.documents.newest(self.recipe), removed).to_pylist():
            yield Book(**cell)

    def selects(self, key: str) -> bool:
        """Return False: what is not listed here is not gone."""
        return False

    def read(self, book: Book) -> bytes:
        """Raise `BookError` `lost`: its document was there a moment ago."""
        raise BookError(
            "lost",
            f"{book.key}: its finished document is not in the state any more",
            retryable=True,
        )
