"""A state in a folder: temp file, fsync, rename; conditions under a lock."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import time
import uuid
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from raypipe.state.store import Names, StateError, check_conditional, check_name

_TEMPORARY = ".tmp"
_LOCKS = ".locks"
_LOCK_FILES = 64  # writers of different names hardly ever wait for each other
_LEFTOVER_AGE_S = 86_400.0
_ABSENT = (FileNotFoundError, NotADirectoryError, IsADirectoryError)

_WAYS_OUT = {
    errno.ENOSPC: "the disk is full; free some space, or set state.uri to another place",
    errno.EDQUOT: "the disk quota is used up; free some space, or set state.uri elsewhere",
    errno.EACCES: "no permission; make the folder yours, or set state.uri to another place",
    errno.EPERM: "no permission; make the folder yours, or set state.uri to another place",
    errno.EROFS: "the disk is read-only; set state.uri to another place",
    errno.ENOTDIR: "a file is in the way of the folder; set state.uri to another place",
    errno.EEXIST: "a file is in the way of the folder; set state.uri to another place",
}


@dataclass(frozen=True)
class LocalState:
    """A state in a folder of this machine.

    Args:
        root: The folder; made on first write. Relative ones are taken from the folder the
            driver runs in, so that workers, which run elsewhere, mean the same.
    """

    root: str

    def __post_init__(self) -> None:
        """Make the folder absolute before it travels."""
        object.__setattr__(self, "root", os.path.abspath(Path(self.root).expanduser()))  # noqa: PTH100

    @property
    def uri(self) -> str:
        """Return the absolute folder."""
        return self.root

    def get(self, name: str) -> bytes | None:
        """Return the bytes of a name, or None."""
        with self._explained(name):
            try:
                return self._path(name).read_bytes()
            except _ABSENT:
                return None

    def get_tagged(self, name: str) -> tuple[bytes, str] | None:
        """Return the bytes and the tag of a name, or None."""
        data = self.get(name)
        return None if data is None else (data, _tag(data))

    def open(self, name: str) -> BinaryIO | None:
        """Return a reader of a name, or None; it keeps reading what was deleted meanwhile."""
        with self._explained(name):
            try:
                return self._path(name).open("rb")
            except _ABSENT:
                return None

    def put(self, name: str, data: bytes) -> None:
        """Write, whatever was there."""
        self._write(name, data, lambda _: True)

    def put_if_absent(self, name: str, data: bytes) -> str | None:
        """Write and return the tag, or None if the name is taken."""
        if self._path(name).exists():
            return None  # spares the temp file; the lock decides
        return self._write(name, data, lambda path: not path.exists())

    def put_if_match(self, name: str, data: bytes, tag: str) -> str | None:
        """Replace what has this tag and return the new one, or None."""
        return self._write(
            name, data, lambda path: path.exists() and _tag(path.read_bytes()) == tag
        )

    def delete(self, names: Iterable[str]) -> None:
        """Delete names; those that are gone already are no error."""
        for name in names:
            with self._explained(name), self._locked(name):
                self._path(name).unlink(missing_ok=True)

    def check(self) -> None:
        """Write a probe, and sweep up what crashed writers left.

        Raises:
            SetupError: The disk is full, read-only or not ours.
        """
        check_conditional(self)
        oldest = time.time() - _LEFTOVER_AGE_S
        for left in (Path(self.root) / _TEMPORARY).iterdir():
            with contextlib.suppress(OSError):  # its writer may live after all
                if left.stat().st_mtime < oldest:
                    left.unlink()

    def list(self, prefix: str = "") -> Names:
        """Return all names that begin with `prefix`, sorted.

        One scan of a folder may miss a file that comes while another goes: scanned until
        nothing has gone between two scans.
        """
        with self._explained(prefix):
            before = self._scan(prefix)
            while True:
                after = self._scan(prefix)
                if before <= after:
                    return sorted(after)
                before = after

    def _scan(self, prefix: str) -> set[str]:
        folder = prefix.rpartition("/")[0]
        found: set[str] = set()
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
                if entry.is_dir():
                    folders.append(name)
                elif name.startswith(prefix):
                    found.add(name)
        return found

    def _path(self, name: str) -> Path:
        return Path(self.root) / check_name(name)

    def _write(self, name: str, data: bytes, allowed: Callable[[Path], bool]) -> str | None:
        target = self._path(name)
        with self._explained(name):
            _make_folder(target.parent)
            temporary = self._temporary(data)
            try:
                with self._locked(name):
                    if not allowed(target):
                        return None
                    temporary.replace(target)
            finally:
                temporary.unlink(missing_ok=True)
            _sync_folder(target.parent)
        return _tag(data)

    def _temporary(self, data: bytes) -> Path:
        path = Path(self.root) / _TEMPORARY / uuid.uuid4().hex
        _make_folder(path.parent)
        try:
            with path.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            path.unlink(missing_ok=True)  # a full disk needs its room back
            raise
        return path

    @contextlib.contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        path = Path(self.root) / _LOCKS / f"{zlib.crc32(name.encode()) % _LOCK_FILES:02d}"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            try:
                yield
            finally:
                # Said aloud: a child forked meanwhile has this file open too.
                fcntl.flock(file, fcntl.LOCK_UN)

    @contextlib.contextmanager
    def _explained(self, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            way_out = _WAYS_OUT.get(error.errno or 0, error.strerror or str(error))
            where = f"{self.root}/{name}".rstrip("/")
            raise StateError(f"the state at {where}: {way_out}") from error


def _tag(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _make_folder(folder: Path) -> None:
    """Make a folder so that a power cut does not lose it."""
    if folder.is_dir():
        return
    if folder.parent != folder:
        _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
