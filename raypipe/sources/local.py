"""Books in a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

from raypipe.core.book import Book, book_id
from raypipe.core.errors import BookError, SetupError
from raypipe.core.paths import expand_home
from raypipe.core.s3 import S3Connection
from raypipe.sources.archive import (
    Archive,
    ArchiveError,
    Fetch,
    archive_of,
    open_directory,
    read_directory,
    read_member,
)
from raypipe.sources.folder import FolderWalk, explain_unreadable, key_of_name, open_file
from raypipe.sources.key_filter import BOOK_ENDINGS, KeyFilter, NotTaken, is_archive
from raypipe.sources.listing import IncompleteListingError, UnlistedFolder
from raypipe.sources.protocol import describe_suffixes

_UNKNOWN = "unknown"
"""ETag of a file whose status cannot be read: a later listing with its status is a new version."""


@dataclass(frozen=True)
class LocalBookSource:
    """The files of a folder; the key of a book is its path below the folder.

    Args:
        path: The folder.
        prefix: List only keys that begin with this.
        suffixes: List only keys that end with one of these, in any case; empty for all keys.
        name: Identity of the source. Set it if the folder may move; '' for the full path.
        follow_links: Follow links that lead out of the folder.
    """

    path: str
    prefix: str = ""
    suffixes: tuple[str, ...] | list[str] = BOOK_ENDINGS
    name: str = ""
    follow_links: bool = False

    def __post_init__(self) -> None:
        """Replace `~` by the home folder: a shell leaves it in `storage.path=~/books`."""
        if not self.path:
            raise ValueError("path is empty; set it to the folder with the books, . for this one")
        object.__setattr__(self, "path", str(expand_home(self.path, "path")))

    @property
    def identity(self) -> str:
        """Return the name, or the full path of the folder as a URL."""
        return self.name or Path(os.path.realpath(self.path)).as_uri()

    @property
    def selection(self) -> str:
        """Return which files are listed, for messages."""
        folder = key_of_name(os.path.realpath(self.path))
        return f"{folder}/{self.prefix}*{describe_suffixes(self.suffixes)}"

    @property
    def locations(self) -> Mapping[str, str]:
        """Return the folder: every worker reads from it."""
        return {"storage.path": self.path}

    @property
    def connection(self) -> S3Connection | None:
        """Return None: a folder is not on S3."""
        return None

    @property
    def lists_whole_source(self) -> bool:
        """Return True."""
        return True

    def check(self) -> None:
        """Raise `SetupError` if the folder does not exist or cannot be read."""
        try:
            with os.scandir(self.path) as entries:
                next(iter(entries), None)
            can_open = os.access(self.path, os.X_OK)
        except OSError as error:
            raise SetupError(explain_unreadable(self.path, error)) from None
        if not can_open:
            raise SetupError(explain_unreadable(self.path, PermissionError()))

    def list_books(self) -> Iterator[Book]:
        """Yield every book by path, from the status of its file alone.

        A file that cannot be read, such as a broken link, is listed: reading it tells the reason.

        Raises:
            SetupError: The folder does not exist or cannot be read.
            IncompleteListingError: After the last book, if folders in it cannot be listed.
        """
        return self.list_counting(NotTaken())

    def list_counting(self, not_taken: NotTaken) -> Iterator[Book]:
        """Yield every book as `list_books` does, and count the other files.

        Raises:
            SetupError: As `list_books`.
            IncompleteListingError: As `list_books`.
        """
        self.check()
        source = self.identity
        selects = self._filter.counting(not_taken)
        walk = FolderWalk(self.path, self.prefix, selects, self.follow_links)
        for key, status in walk.files():
            if status is None:
                yield Book(book_id(source, key), key, _UNKNOWN, 0, 0.0)
                continue
            etag, modified = _etag(status), status.st_mtime
            book = Book(book_id(source, key), key, etag, status.st_size, modified)
            if is_archive(key):
                yield from self._list_archive(book, not_taken, walk.unlisted)
            else:
                yield book
        if walk.unlisted:
            raise IncompleteListingError(self.selection, walk.unlisted)

    def selects(self, key: str) -> bool:
        """Whether the listing would include an existing book with this key."""
        return self._filter.selects(key)

    def _list_archive(
        self, book: Book, not_taken: NotTaken, unlisted: list[UnlistedFolder]
    ) -> Iterator[Book]:
        """Yield the books in an archive; the archive itself if reading it tells what is wrong."""
        try:
            with open_file(self.path, book.key, follow_links=self.follow_links) as file:
                directory = read_directory(_fetch_from(file), os.fstat(file.fileno()).st_size)
        except ArchiveError as error:
            unlisted.append(UnlistedFolder(f"{book.key}!", str(error)))
            yield book
        except (BookError, OSError) as error:
            unlisted.append(UnlistedFolder(f"{book.key}!", type(error).__name__))
            yield book
        else:
            selects = self._filter.counting(not_taken, prefix="")
            archive = Archive(self.identity, book)
            yield from archive.list_members(directory, selects, not_taken)

    def _read_member(self, file: BinaryIO, archive: Book, book: Book) -> bytes:
        fetch = _fetch_from(file)
        directory = open_directory(
            self.identity, archive, fetch, lambda: os.fstat(file.fileno()).st_size
        )
        return read_member(fetch, directory, book)

    @cached_property
    def _filter(self) -> KeyFilter:
        return KeyFilter(self.prefix, self.suffixes)

    def read(self, book: Book) -> bytes:
        """Return the bytes of a book, in the version that was listed.

        Raises:
            BookError: The file was deleted (`gone`), may not be read (`denied`), changed after
                the listing (`changed`), is a pipe or a device (`not_a_file`), is a link that leads
                nowhere or out of the folder (`link`), or reading failed (`read`).
        """
        archive = archive_of(book)
        file_book = archive or book
        try:
            with open_file(self.path, file_book.key, follow_links=self.follow_links) as file:
                if _etag(os.fstat(file.fileno())) != file_book.etag:
                    raise _changed_error(file_book)
                if archive is None:
                    data = file.read(book.size + 1)  # a file may grow, or have no end
                else:
                    data = self._read_member(file, archive, book)
                # A program may have written to the file while it was read.
                if _etag(os.fstat(file.fileno())) != file_book.etag or len(data) != book.size:
                    raise _changed_error(file_book)
                return data
        except (FileNotFoundError, NotADirectoryError):
            message = f"{book.key} was deleted after it was listed"
            raise BookError("gone", message, retryable=True) from None
        except PermissionError:
            raise BookError("denied", f"{book.key} may not be read", retryable=True) from None
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise BookError("read", f"{book.key}: {reason}", retryable=True) from None


def _fetch_from(file: BinaryIO) -> Fetch:
    def fetch(start: int, stop: int) -> bytes:
        file.seek(start)
        return file.read(stop - start)

    return fetch


def _changed_error(book: Book) -> BookError:
    message = f"{book.key} changed after it was listed; the next run processes it"
    return BookError("changed", message, retryable=True)


def _etag(status: os.stat_result) -> str:
    return f"{status.st_size:x}-{status.st_mtime_ns:x}"
