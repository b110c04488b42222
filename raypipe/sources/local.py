"""Books in a folder."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from raypipe.core.book import Book, book_id
from raypipe.core.errors import BookError, SetupError
from raypipe.core.paths import expand_home
from raypipe.core.s3 import S3Connection
from raypipe.sources.protocol import describe_suffixes


@dataclass(frozen=True)
class LocalBookSource:
    """The files of a folder; the key of a book is its path below the folder.

    Args:
        path: The folder.
        prefix: List only keys that begin with this.
        suffixes: List only keys that end with one of these; empty for all keys.
        name: Identity of the source. Set it if the folder may move; '' for the full path.
    """

    path: str
    prefix: str = ""
    suffixes: tuple[str, ...] | list[str] = (".txt",)
    name: str = ""

    def __post_init__(self) -> None:
        """Replace `~` by the home folder: a shell leaves it in `storage.path=~/books`."""
        object.__setattr__(self, "path", str(expand_home(self.path, "path")))

    @property
    def identity(self) -> str:
        """Return the name, or the full path of the folder as a URL."""
        return self.name or Path(self.path).resolve().as_uri()

    @property
    def selection(self) -> str:
        """Return which files are listed, for messages."""
        return f"{Path(self.path).resolve()}/{self.prefix}*{describe_suffixes(self.suffixes)}"

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
        root = Path(self.path)
        if not root.is_dir():
            raise SetupError(
                f"storage.path={self.path} is not a folder; set it to the folder that holds the "
                "books"
            )
        if not os.access(root, os.R_OK | os.X_OK):
            raise SetupError(
                f"storage.path={self.path} cannot be read by this user; grant read permission"
            )

    def list_books(self) -> Iterator[Book]:
        """Yield every book in key order, from the status of its file alone.

        Raises:
            SetupError: The folder does not exist or cannot be read.
        """
        self.check()
        root = Path(self.path)
        source = self.identity
        try:
            for key, status in _list_files(root, root):
                if self.selects(key):
                    yield Book(
                        book_id(source, key), key, _etag(status), status.st_size, status.st_mtime
                    )
        except OSError as error:
            # Books that cannot be listed must not look like deleted books.
            raise SetupError(
                f"storage.path={self.path} cannot be listed: {error.strerror} "
                f"({error.filename}); grant read permission, or check the disk"
            ) from None

    def selects(self, key: str) -> bool:
        """Whether the listing would include an existing book with this key."""
        suffixes = tuple(self.suffixes)
        return key.startswith(self.prefix) and (not suffixes or key.endswith(suffixes))

    def read(self, book: Book) -> bytes:
        """Return the bytes of a book, in the version that was listed.

        Raises:
            BookError: The file was deleted (`gone`), may not be read (`denied`), changed after
                the listing (`changed`), or reading failed (`read`).
        """
        try:
            with _path_of_key(Path(self.path), book.key).open("rb") as file:
                if _etag(os.fstat(file.fileno())) != book.etag:
                    raise _changed_error(book)
                data = file.read()
                # A program may have written to the file while it was read.
                if _etag(os.fstat(file.fileno())) != book.etag or len(data) != book.size:
                    raise _changed_error(book)
                return data
        except FileNotFoundError:
            raise BookError("gone", f"{book.key} was deleted after it was listed") from None
        except PermissionError:
            raise BookError("denied", f"{book.key} may not be read", retryable=True) from None
        except OSError as error:
            raise BookError("read", f"{book.key}: {error.strerror}", retryable=True) from None


def _changed_error(book: Book) -> BookError:
    message = f"{book.key} changed after it was listed; the next run processes it"
    return BookError("changed", message, retryable=True)


def _etag(status: os.stat_result) -> str:
    return f"{status.st_size:x}-{status.st_mtime_ns:x}"


def _list_files(root: Path, folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.is_dir(follow_symlinks=False):
                yield from _list_files(root, Path(entry.path))
            elif entry.is_file():
                try:
                    status = entry.stat()
                except FileNotFoundError:
                    continue  # it was deleted after the folder was read
                yield _key_of_path(Path(entry.path).relative_to(root)), status


def _key_of_path(path: Path) -> str:
    r"""Return the key of a path; bytes that are not UTF-8 become `\xe9`, as parquet takes none."""
    return os.fsencode(path.as_posix()).decode("utf-8", "backslashreplace")


def _path_of_key(root: Path, key: str) -> Path:
    path = root / key
    if "\\x" not in key or path.exists():
        return path
    raw = re.sub(
        rb"\\x([0-9a-f]{2})", lambda escape: bytes.fromhex(escape[1].decode()), key.encode()
    )
    return root / os.fsdecode(raw)
