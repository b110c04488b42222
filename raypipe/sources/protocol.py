"""Where books are: a `BookSource` lists them and reads one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from raypipe.core.book import Book


class BookSource(Protocol):
    """A place that holds books."""

    @property
    def identity(self) -> str:
        """Name this store the same wherever the run happens, e.g. `s3://bucket`."""

    @property
    def selection(self) -> str:
        """Say for a person which books are meant: the place, the prefix, the suffixes."""

    def check(self) -> None:
        """Raise `SetupError` if no book of this store could be read."""

    def list_books(self) -> Iterator[Book]:
        """Yield every book, all pages, from the listing alone.

        Raises:
            SetupError: The store cannot be listed.
        """

    def selects(self, key: str) -> bool:
        """Whether the listing would name a book with this key, if it were there."""

    def read(self, book: Book) -> bytes:
        """Return the book's bytes as they were listed.

        Raises:
            BookError: This book cannot be read (kind `changed`, `gone`, `denied`, `read`).
        """


def endings(suffixes: Sequence[str]) -> str:
    """Return ` with keys that end with .txt`, or nothing where every key is meant."""
    return f" with keys that end with {' or '.join(suffixes)}" if suffixes else ""
