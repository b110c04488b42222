"""A state in a folder: each write is a temporary file, an fsync, and a link or a rename."""

from __future__ import annotations

import errno
import hashlib
import os
import time
import uuid
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeAlias

from filelock import FileLock

from raypipe.core.private_files import GroupAccess
from raypipe.state.store import Names, StateError, check_conditional_puts, check_name

_TEMPORARY = ".tmp"
_LOCKS = ".locks"
_LOCK_FILES = 64  # enough that writers of different names rarely share a lock
_LOCK_POLL_S = 0.002
"""Seconds between two tries to take a lock; it is held for a check and a rename."""
_LEFTOVER_AGE_S = 86_400.0
_ABSENT = (FileNotFoundError, NotADirectoryError, IsADirectoryError)

_NO_LINKS = (errno.EPERM, errno.EACCES, errno.ENOSYS, errno.ENOTSUP, errno.EMLINK)
"""Errors of file systems without links, such as FAT, and of some shared folders."""
_Move: TypeAlias = Callable[[Path, Path, GroupAccess], bool]
"""Gives a temporary file its name; returns False if the target does not allow it."""

_FIXES = {
    errno.ENOSPC: "the disk is full; free some space, or set state.uri to another folder",
    errno.EDQUOT: "the disk quota is used up; free some space, or set state.uri to another folder",
    errno.EACCES: "permission denied; grant it, or set state.uri to another folder",
    errno.EPERM: "permission denied; grant it, or set state.uri to another folder",
    errno.EROFS: "the disk is read-only; set state.uri to another folder",
    errno.ENOTDIR: "a file has the name of a folder; set state.uri to another folder",
    errno.EEXIST: "a file has the name of a folder; set state.uri to another folder",
    errno.EISDIR: "a folder has the name of this file; move the folder away",
    errno.EFBIG: "files may not be this large here (ulimit -f, or a quota); raise the limit",
    errno.EMFILE: "too many files are open; raise the limit (ulimit -n)",
}


@dataclass(frozen=True)
class LocalState:
    """A state in a folder of this machine.

    Its files and folders have the modes 0600 and 0700. A root that was made for a group, such as
    a folder with the mode 0770, shares the new files in it with that group.

    Args:
        root: The folder; created by the first write. A relative path is made absolute here,
            because workers run in other folders than the driver.
    """

    root: str

    def __post_init__(self) -> None:
        """Make the path absolute."""
        object.__setattr__(self, "root", os.path.abspath(Path(self.root).expanduser()))  # noqa: PTH100

    @property
    def uri(self) -> str:
        """Return the absolute folder."""
        return self.root

    def get(self, name: str) -> bytes | None:
        """Return the bytes of a name, or None if it does not exist."""
        with self._translate_errors(name):
            try:
                return self._path(name).read_bytes()
            except _ABSENT:
                return None

    def get_tagged(self, name: str) -> tuple[bytes, str] | None:
        """Return the bytes of a name and their tag, or None if it does not exist."""
        data = self.get(name)
        return None if data is None else (data, _tag(data))

    def open(self, name: str) -> BinaryIO | None:
        """Return a reader of a name, or None. It can still read a name that was deleted since."""
        with self._translate_errors(name):
            try:
                return self._path(name).open("rb")
            except _ABSENT:
                return None

    def put(self, name: str, data: bytes, *, durable: bool = True) -> None:
        """Write a name, replacing its content."""
        self._write(name, data, durable, self._replace_if(name, lambda _: True))

    def put_if_absent(self, name: str, data: bytes, *, durable: bool = True) -> str | None:
        """Create a name and return its tag, or None if it exists."""
        return self._write(name, data, durable, self._link_unless_present(name))

    def put_if_match(self, name: str, data: bytes, tag: str, *, durable: bool = True) -> str | None:
        """Replace the content if it still has this tag; return the new tag, or None."""
        replace = self._replace_if(
            name, lambda path: path.exists() and _tag(path.read_bytes()) == tag
        )
        return self._write(name, data, durable, replace)

    def delete(self, names: Iterable[str]) -> None:
        """Delete names; a name that does not exist is not an error."""
        for name in names:
            with (
                self._translate_errors(name),
                self._lock(name, GroupAccess.in_folder(Path(self.root))),
            ):
                self._path(name).unlink(missing_ok=True)

    def check(self) -> None:
        """Write a probe, and delete temporary files that crashed writers left behind.

        Raises:
            SetupError: The folder cannot be written: a full or read-only disk, no permission.
        """
        check_conditional_puts(self)
        oldest = time.time() - _LEFTOVER_AGE_S
        for path in (Path(self.root) / _TEMPORARY).iterdir():
            with suppress(OSError):  # its writer may still be running
                if path.stat().st_mtime < oldest:
                    path.unlink()

    def list(self, prefix: str = "") -> Names:
        """Return all names that begin with `prefix`, sorted.

        A scan of a folder may miss a file that is created while another is deleted, so the
        folder is scanned until no name was deleted between two scans.
        """
        with self._translate_errors(prefix):
            before = self._scan(prefix)
            while True:
                after = self._scan(prefix)
                if before <= after:
                    return sorted(after)
                before = after

    def list_sizes(self, prefix: str = "") -> dict[str, int]:
        """Return the size in bytes of each name that begins with `prefix`."""
        sizes: dict[str, int] = {}
        for name in self.list(prefix):
            with self._translate_errors(name), suppress(*_ABSENT):
                sizes[name] = self._path(name).stat().st_size
        return sizes

    def _scan(self, prefix: str) -> set[str]:
        folder = prefix.rpartition("/")[0]
        names: set[str] = set()
        folders = [check_name(folder)] if folder else [""]
        while folders:
            current = folders.pop()
            try:
                entries = list(os.scandir(os.path.join(self.root, current)))  # noqa: PTH118
            except _ABSENT:
                continue
            for entry in entries:
                name = f"{current}/{entry.name}" if current else entry.name
                if entry.name.startswith("."):
                    continue
                if not name.startswith(prefix):
                    continue
                if self._leads_back(entry):
                    continue
                if entry.is_dir():
                    folders.append(name)
                elif entry.is_file():  # reading a pipe would wait for its writer
                    names.add(name)
        return names

    def _leads_back(self, entry: os.DirEntry[str]) -> bool:
        """Whether an entry is a link to itself, or to a folder that holds it."""
        if not entry.is_symlink():
            return False
        try:
            entry.stat()
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENOENT):
                return True
            raise
        folder = os.path.realpath(Path(entry.path).parent)
        return Path(folder).is_relative_to(os.path.realpath(entry.path))

    def _path(self, name: str) -> Path:
        return Path(self.root) / check_name(name)

    def _write(self, name: str, data: bytes, durable: bool, move: _Move) -> str | None:
        target = self._path(name)
        with self._translate_errors(name):
            access = GroupAccess.in_folder(Path(self.root))
            _create_folder(target.parent, access, durable)
            temporary = self._write_temporary(data, access, durable)
            try:
                if not move(temporary, target, access):
                    return None
            finally:
                temporary.unlink(missing_ok=True)
            if durable:
                _sync_folder(target.parent)
        return _tag(data)

    def _write_temporary(self, data: bytes, access: GroupAccess, durable: bool) -> Path:
        path = Path(self.root) / _TEMPORARY / uuid.uuid4().hex
        _create_folder(path.parent, access)
        try:
            access.write_new(path, data, durable=durable)
        except OSError:
            path.unlink(missing_ok=True)  # give the space back to a full disk
            raise
        return path

    def _replace_if(self, name: str, is_allowed: Callable[[Path], bool]) -> _Move:
        """Return a move that replaces the target under its lock, if the target allows it."""

        def replace(temporary: Path, target: Path, access: GroupAccess) -> bool:
            with self._lock(name, access):
                if not is_allowed(target):
                    return False
                temporary.replace(target)
                return True

        return replace

    def _link_unless_present(self, name: str) -> _Move:
        """Return a move that gives a file its name unless the name exists.

        It makes a link, which needs no lock, or takes the lock where there are no links.
        """

        def link(temporary: Path, target: Path, access: GroupAccess) -> bool:
            try:
                os.link(temporary, target)
            except FileExistsError:
                if target.is_dir():
                    raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR)) from None
                return False
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                return replace(temporary, target, access)
            return True

        replace = self._replace_if(name, lambda path: path.is_dir() or not path.exists())
        return link

    @contextmanager
    def _lock(self, name: str, access: GroupAccess) -> Iterator[None]:
        path = Path(self.root) / _LOCKS / f"{zlib.crc32(name.encode()) % _LOCK_FILES:02d}"
        _create_folder(path.parent, access)
        with FileLock(path, mode=access.file_mode, poll_interval=_LOCK_POLL_S):
            access.set_group(path)
            yield

    @contextmanager
    def _translate_errors(self, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            unknown = (
                f"{error.strerror or error}; check the disk, or set state.uri to another folder"
            )
            cause = _FIXES.get(error.errno or 0, unknown)
            path = f"{self.root}/{name}".rstrip("/")
            raise StateError(f"cannot access the state at {path}: {cause}") from error


def _tag(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _create_folder(folder: Path, access: GroupAccess, durable: bool = True) -> None:
    """Create a folder and sync its parent, so that it survives a power failure."""
    if folder.is_dir():
        return
    if folder.parent != folder:
        _create_folder(folder.parent, access, durable)
    access.create_folder(folder)
    if durable:
        _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # Windows cannot open a folder, and writes its entries with the file
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
