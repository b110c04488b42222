"""List a source completely, or know which of its folders could not be listed."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import Any

from raypipe.core.book import Book
from raypipe.core.book_table import BookTable, is_one_of
from raypipe.core.errors import SetupError
from raypipe.sources.key_filter import NotTaken, describe_not_taken, split_member
from raypipe.sources.protocol import BookSource, CountsNotTaken

log = logging.getLogger(__name__)

_FOLDERS_SHOWN = 3


@dataclass(frozen=True, slots=True)
class UnlistedFolder:
    """A folder of which a listing could not see all books.

    Args:
        prefix: Prefix of the keys of its books, with `/` at the end; '' for the whole source.
        reason: Why, for messages.
    """

    prefix: str
    reason: str


class IncompleteListingError(SetupError):
    """A listing has yielded all books that it could see, but some folders could not be listed.

    Args:
        selection: Which books the source lists, for messages.
        folders: The folders that could not be listed.
    """

    def __init__(self, selection: str, folders: Iterable[UnlistedFolder]) -> None:
        self.selection = selection
        self.folders = tuple(folders)
        super().__init__(
            f"the listing of {selection} is incomplete: {describe_unlisted(self.folders)}"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle with the folders: the default of Exception has the message only."""
        return (IncompleteListingError, (self.selection, self.folders))


@dataclass(frozen=True)
class Listing:
    """The books that a source lists.

    Args:
        books: The books.
        unlisted: Folders that could not be listed. Books below them may exist at the source.
        not_taken: Number of keys that are no books, by ending or reason; the most frequent first.
    """

    books: BookTable
    unlisted: tuple[UnlistedFolder, ...] = ()
    not_taken: Mapping[str, int] = field(default_factory=dict)


def list_all(source: BookSource) -> Listing:
    """List a source to its end. Folders that cannot be listed are logged in one line.

    Raises:
        SetupError: The source cannot be listed.
    """
    unlisted: tuple[UnlistedFolder, ...] = ()
    not_taken = NotTaken()

    def list_books() -> Iterator[Book]:
        nonlocal unlisted
        try:
            yield from _list_counting(source, not_taken)
        except IncompleteListingError as error:
            log.warning("%s. Nothing below is deleted", describe_unlisted(error.folders))
            unlisted = error.folders

    books = BookTable.of(list_books())
    return Listing(books, unlisted, dict(not_taken.counts.most_common()))


def _list_counting(source: BookSource, not_taken: NotTaken) -> Iterator[Book]:
    """Return the books of a source; keys that it does not take are counted if it can do so."""
    if isinstance(source, CountsNotTaken):
        return source.list_counting(not_taken)
    return source.list_books()


def list_source(source: BookSource, book_ids: AbstractSet[str] | None = None) -> Listing:
    """Return the books of a source, and which of its folders could not be listed.

    Args:
        source: The source.
        book_ids: Return these books only; None for all.

    Raises:
        SetupError: The source cannot be listed, or holds no book.
    """
    if book_ids is not None and not book_ids:
        return Listing(BookTable.of(()))
    listing = list_all(source)
    books = listing.books
    if not books:
        raise _no_books(source, listing.unlisted, listing.not_taken)
    if book_ids is not None:
        books = books.filter(is_one_of(books.book_ids, book_ids))
    return replace(listing, books=books)


def check_has_books(source: BookSource) -> None:
    """Find the first book of a source.

    Raises:
        SetupError: The source cannot be listed, or holds no book.
    """
    not_taken = NotTaken()
    if next(iter(_list_counting(source, not_taken)), None) is None:
        raise _no_books(source, not_taken=not_taken.counts)


def _no_books(
    source: BookSource,
    unlisted: Sequence[UnlistedFolder] = (),
    not_taken: Mapping[str, int] | None = None,
) -> SetupError:
    reason = "check storage's prefix and suffixes"
    if unlisted:
        reason = describe_unlisted(unlisted)
    if others := describe_not_taken(not_taken or {}):
        reason = f"{others}; {reason}"
    return SetupError(f"no books found: {source.selection}; {reason}")


def describe_unlisted(folders: Sequence[UnlistedFolder]) -> str:
    """Return a sentence about folders that cannot be listed; it names the first three."""
    names = ", ".join(
        f"{repr(folder.prefix) if folder.prefix else 'storage.path'} ({folder.reason})"
        for folder in folders[:_FOLDERS_SHOWN]
    )
    hidden = len(folders) - _FOLDERS_SHOWN
    more = f" and {hidden:,} more" if hidden > 0 else ""
    noun = "1 folder" if len(folders) == 1 else f"{len(folders):,} folders"
    return f"{noun} cannot be listed: {names}{more}"


def select_below(keys: Iterable[tuple[str, str]], folders: Iterable[UnlistedFolder]) -> set[str]:
    """Return the ids of the books below any of the folders.

    Args:
        keys: Id and key of each book.
        folders: The folders.
    """
    prefixes = {folder.prefix for folder in folders}
    if not prefixes:
        return set()
    return {
        book_id for book_id, key in keys if any(folder in prefixes for folder in _folders_of(key))
    }


def _folders_of(key: str) -> Iterator[str]:
    """Yield the prefixes of all folders and archives that hold a key: ``, `a/`, `a/b.zip!`."""
    yield ""
    if parts := split_member(key):
        yield f"{parts[0]}!"
    at = key.find("/")
    while at >= 0:
        yield key[: at + 1]
        at = key.find("/", at + 1)
