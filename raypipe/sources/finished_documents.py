"""Finished documents as the source of a run: the `index` command lists them instead of books."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from raypipe.core.book import Book
from raypipe.core.book_table import BookTable, is_one_of
from raypipe.core.errors import BookError
from raypipe.core.s3 import S3Connection
from raypipe.ledger.document_store import DocumentStore
from raypipe.ledger.tombstones import Tombstones, deletable_books, exclude_books


@dataclass(frozen=True)
class FinishedDocumentSource:
    """A `BookSource` that lists the newest finished document of each book and reads none.

    Args:
        documents: The finished documents.
        recipe: Document recipe that the source is named by.
        accepted: All document recipes that are listed; documents of others are ignored.
    """

    documents: DocumentStore
    recipe: str
    accepted: frozenset[str]

    @property
    def identity(self) -> str:
        """Return `documents/<recipe>`. No book id is derived from it: documents have theirs."""
        return f"documents/{self.recipe}"

    @property
    def selection(self) -> str:
        """Return which documents are listed, for messages."""
        return f"the finished documents of the recipe {self.recipe} in {self.documents.state.uri}"

    @property
    def locations(self) -> Mapping[str, str]:
        """Return no location: the state is checked by itself."""
        return {}

    @property
    def connection(self) -> S3Connection | None:
        """Return None: the documents are in a state that is open already."""
        return None

    @property
    def lists_whole_source(self) -> bool:
        """Return False: a book without a finished document may still be at its source."""
        return False

    def check(self) -> None:
        """Do nothing: listing the documents has shown that they can be read."""

    def list_books(self) -> Iterator[Book]:
        """Yield each book as its newest finished document describes it, in no order.

        Deleted books are left out; a renamed book is left out if it is finished under its new key.

        Raises:
            SetupError: The state cannot be read.
        """
        books = self.documents.read_newest_books(self.accepted)
        renames = Tombstones(self.documents.state).renames()
        present = books["book_id"].filter(is_one_of(books["book_id"], renames.values()))
        deleted = deletable_books(renames, set(present.to_pylist()))
        yield from BookTable(exclude_books(books, deleted))

    def selects(self, key: str) -> bool:
        """Return False: a key that is missing here was not deleted from its source."""
        return False

    def read(self, book: Book) -> bytes:
        """Raise `BookError` of kind `lost`: the listed document no longer exists."""
        raise BookError(
            "lost",
            f"{book.key}: its finished document is no longer in the state",
            retryable=True,
        )
