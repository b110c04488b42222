"""The contract of a source of books."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol, runtime_checkable

from raypipe.core.book import Book
from raypipe.core.s3 import S3Connection
from raypipe.sources.key_filter import NotTaken


class BookSource(Protocol):
    """List the books of a run and read them. Workers get a pickled copy."""

    @property
    def identity(self) -> str:
        """Name of the source, the same wherever a run happens, e.g. `s3://bucket`.

        Book ids are derived from it, see `raypipe.core.book.book_id`.
        """

    @property
    def selection(self) -> str:
        """Place, prefix and suffixes of the books, for messages."""

    @property
    def locations(self) -> Mapping[str, str]:
        """URLs and folders that every worker must reach, by the option that sets them."""

    @property
    def connection(self) -> S3Connection | None:
        """How S3 is reached, or None for a source that is not on S3."""

    @property
    def lists_whole_source(self) -> bool:
        """Whether a book missing from the listing does not exist at the source either."""

    def check(self) -> None:
        """Raise `SetupError` if no book of this source can be read."""

    def list_books(self) -> Iterator[Book]:
        """Yield every book from the listing alone, all pages, without reading any.

        Raises:
            SetupError: The source cannot be listed.
            IncompleteListingError: Folders could not be listed; raised after the last book. See
                `raypipe.sources.listing`.
        """

    def selects(self, key: str) -> bool:
        """Whether the listing would include an existing book with this key."""

    def read(self, book: Book) -> bytes:
        """Return the bytes of a book, in the version that was listed.

        Raises:
            BookError: The book cannot be read; its kind is that of a failure to read, see
                `raypipe.ledger.failure_log.KINDS`.
        """


@runtime_checkable
class CountsNotTaken(Protocol):
    """A `BookSource` that counts the keys that its listing does not take."""

    def list_counting(self, not_taken: NotTaken) -> Iterator[Book]:
        """Yield every book as `list_books` does.

        Args:
            not_taken: Counts the other keys while the listing goes on.
        """


def describe_suffixes(suffixes: Sequence[str]) -> str:
    """Return ` with keys that end with .txt or .md`, or '' if every key is selected."""
    *others, last = suffixes or [""]
    listed = f"{', '.join(others)} or {last}" if others else last
    return f" with keys that end with {listed}" if last else ""
