"""Books in a folder."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from raypipe.core.book import Book, BookError, book_id
from raypipe.core.errors import SetupError
from raypipe.sources.protocol import endings


@dataclass(frozen=True)
class LocalBookSource:
    """A folder of books; keys are the paths below it.

    Args:
        path: The folder.
        prefix: Only keys that begin so.
        suffixes: Only keys that end with one of these; empty = all.
        name: The store's identity; give one if the folder may move. Empty = its full path.
    """

    path: str
    prefix: str = ""
    suffixes: tuple[str, ...] | list[str] = (".txt",)
    name: str = ""

    @property
    def identity(self) -> str:
        """Return the given name, or the folder's own path as a URL."""
        return self.name or Path(self.path).resolve().as_uri()

    @property
    def selection(self) -> str:
        """Return the files that are meant, for a person."""
        return f"{Path(self.path).resolve()}/{self.prefix}*{endings(self.suffixes)}"

    def check(self) -> None:
        """Raise `SetupError` if the folder is not there or cannot be read."""
        root = Path(self.path)
        if not root.is_dir():
            raise SetupError(f"storage.path={self.path} is not a folder; give the folder of books")
        if not os.access(root, os.R_OK | os.X_OK):
            raise SetupError(f"storage.path={self.path} cannot be read by this user")

    def list_books(self) -> Iterator[Book]:
        """Yield every book in key order, from file status alone.

        Raises:
            SetupError: The folder is not there.
        """
        self.check()
        root = Path(self.path)
        source = self.identity
        for key, status in _files(root, root):
            if self.selects(key):
                yield Book(
                    book_id(source, key), key, _etag(status), status.st_size, status.st_mtime
                )

    def selects(self, key: str) -> bool:
        """Whether the listing would name a book with this key, if it were there."""
        suffixes = tuple(self.suffixes)
        return key.startswith(self.prefix) and (not suffixes or key.endswith(suffixes))

    def read(self, book: Book) -> bytes:
        """Return the book's bytes.

        Raises:
            BookError: It is gone, may not be read, or changed since it was listed.
        """
        try:
            with _path_of(Path(self.path), book.key).open("rb") as file:
                if _etag(os.fstat(file.fileno())) != book.etag:
                    raise _changed(book)
                return file.read()
        except FileNotFoundError:
            raise BookError("gone", f"{book.key} was removed after it was listed") from None
        except PermissionError:
            raise BookError("denied", f"{book.key} may not be read", retryable=True) from None
        except OSError as error:
            raise BookError("read", f"{book.key}: {error.strerror}", retryable=True) from None


def _changed(book: Book) -> BookError:
    message = f"{book.key} changed after it was listed; the next run takes it"
    return BookError("changed", message, retryable=True)


def _etag(status: os.stat_result) -> str:
    return f"{status.st_size:x}-{status.st_mtime_ns:x}"


def _files(root: Path, folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.is_dir(follow_symlinks=False):
                yield from _files(root, Path(entry.path))
            elif entry.is_file():
                yield _key_of(Path(entry.path).relative_to(root)), entry.stat()


def _key_of(path: Path) -> str:
    r"""Return a path as a key; bytes that are no UTF-8, which no parquet takes, as `\xe9`."""
    return os.fsencode(path.as_posix()).decode("utf-8", "backslashreplace")


def _path_of(root: Path, key: str) -> Path:
    path = root / key
    if "\\x" not in key or path.exists():
        return path
    raw = re.sub(rb"\\x([0-9a-f]{2})", lambda byte: bytes.fromhex(byte[1].decode()), key.encode())
    return root / os.fsdecode(raw)
