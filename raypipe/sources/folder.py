"""List and open the files of a folder, whatever else the folder holds."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from raypipe.core.errors import BookError, SetupError
from raypipe.sources.listing import UnlistedFolder

_OUTSIDE = "a link that leads out of the folder; storage.follow_links=true follows it"
_READ_FLAGS = os.O_RDONLY
for _name in ("O_NONBLOCK", "O_NOFOLLOW", "O_NOCTTY", "O_CLOEXEC", "O_BINARY"):
    _READ_FLAGS |= getattr(os, _name, 0)  # each exists on some systems only

_ESCAPED = r"\\x(5c|[89a-f][0-9a-f])"
"""Bytes as they stand in a key: all that are not UTF-8, and the backslash of a similar name."""


@dataclass
class FolderWalk:
    """List the files of a folder and its folders, without recursion.

    Each folder is listed once. A link to a file is a file. A link to a folder is followed only if
    it leads out of the folder and `follow_links` is set: what is inside is listed under its name.

    Args:
        root: The folder.
        prefix: Folders that can hold no key with this prefix are not read.
        selects: Whether a key is that of a book; called once for each file that is not.
        follow_links: Whether links that lead out of the folder are followed.
        unlisted: Folders that could not be listed; filled while the walk goes on.
    """

    root: str
    prefix: str
    selects: Callable[[str], bool]
    follow_links: bool
    unlisted: list[UnlistedFolder] = field(default_factory=list)
    _links: list[tuple[str, str]] = field(default_factory=list)  # prefix and path, to follow
    _followed: set[str] = field(default_factory=set)  # real paths of folders behind links

    def __post_init__(self) -> None:
        """Find out what is in the folder and what is outside."""
        self._real_root = os.path.realpath(self.root)

    def files(self) -> Iterator[tuple[str, os.stat_result | None]]:
        """Yield key and status of each file; None for a file whose status cannot be read.

        The status of a link that leads nowhere, or out of the folder, is that of the link itself.

        Raises:
            SetupError: The folder itself cannot be read.
        """
        before = _identify(self.root)
        yield from self._files_below("", self.root)
        # Last, so that no folder is listed under the name of a link to it.
        for key, path in self._links:  # grows while folders are followed
            yield from self._files_below(key, path, is_linked=True)
        if before is None or _identify(self.root) != before:
            reason = "replaced or unmounted while it was listed; run again"
            self.unlisted.append(UnlistedFolder("", reason))

    def _files_below(
        self, prefix: str, path: str, *, is_linked: bool = False
    ) -> Iterator[tuple[str, os.stat_result | None]]:
        waiting = self._entries(prefix, path, is_linked=is_linked)
        while waiting:
            key, entry = waiting.pop()
            if self._is_folder(key, entry):
                waiting += self._entries(f"{key}/", entry.path, is_linked=is_linked)
            else:
                yield from self._file(key, entry)

    def _entries(
        self, prefix: str, path: str, *, is_linked: bool
    ) -> list[tuple[str, os.DirEntry[str]]]:
        """Return key and entry of what a folder holds, the first name last."""
        if not prefix.startswith(self.prefix) and not self.prefix.startswith(prefix):
            return []
        if is_linked:
            real_path = os.path.realpath(path)
            if real_path in self._followed or is_below(real_path, self._real_root):
                return []
            self._followed.add(real_path)
        entries = self._read(prefix, path)
        return [(prefix + key_of_name(entry.name), entry) for entry in reversed(entries)]

    def _read(self, folder: str, path: str) -> list[os.DirEntry[str]]:
        """Return the entries of a folder by name; those before an error, if one occurs."""
        entries: list[os.DirEntry[str]] = []
        try:
            with os.scandir(path) as found:
                for entry in found:
                    entries.append(entry)  # those before an error are kept
        except OSError as error:
            if not folder and not entries:
                raise SetupError(explain_unreadable(self.root, error)) from None
            self.unlisted.append(UnlistedFolder(folder, _advise(error)))
        return sorted(entries, key=lambda entry: entry.name)

    def _is_folder(self, key: str, entry: os.DirEntry[str]) -> bool:
        try:
            return entry.is_dir(follow_symlinks=False)
        except OSError as error:  # some file systems must be asked what an entry is
            if not isinstance(error, FileNotFoundError):
                self.unlisted.append(UnlistedFolder(f"{key}/", _advise(error)))
            return False

    def _file(
        self, key: str, entry: os.DirEntry[str]
    ) -> Iterator[tuple[str, os.stat_result | None]]:
        """Yield key and status of an entry that is not a folder, if it is a book."""
        try:
            if entry.is_symlink():
                yield from self._link(key, entry)
            elif self.selects(key):
                yield key, entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            return  # it was deleted after the folder was read
        except OSError:
            if self.selects(key):
                yield key, None  # reading it tells the reason

    def _link(
        self, key: str, entry: os.DirEntry[str]
    ) -> Iterator[tuple[str, os.stat_result | None]]:
        try:
            status = entry.stat()
        except OSError as error:
            if self.selects(key):
                yield key, entry.stat(follow_symlinks=False)
            elif self.follow_links:  # a folder behind it may be gone for a while
                self.unlisted.append(UnlistedFolder(f"{key}/", _advise(error)))
            return
        is_inside = is_below(os.path.realpath(entry.path), self._real_root)
        if not stat.S_ISDIR(status.st_mode):
            if self.selects(key):
                is_followed = is_inside or self.follow_links
                yield key, status if is_followed else entry.stat(follow_symlinks=False)
        elif not is_inside and self.follow_links:
            self._links.append((f"{key}/", entry.path))
        elif not is_inside:
            self.unlisted.append(UnlistedFolder(f"{key}/", _OUTSIDE))


def open_file(root: str, key: str, *, follow_links: bool) -> BinaryIO:
    """Open the file of a key. A pipe or a device is never opened.

    Raises:
        BookError: It is not a regular file (`not_a_file`), it is a folder now (`changed`), or it
            is a link that leads nowhere or out of the folder (`link`).
        OSError: It cannot be opened.
    """
    path = path_of_key(root, key)
    real_path = os.path.realpath(path)
    if not follow_links and not is_below(real_path, os.path.realpath(root)):
        raise BookError(
            "link",
            f"{key} is a link that leads out of the folder; storage.follow_links=true reads it",
        )
    try:
        _check_regular(key, os.stat(real_path))  # noqa: PTH116 # opening a device may act on it
        # No link is left in the real path, and a pipe does not wait for its writer.
        file = open(real_path, "rb", opener=_open_at_once)  # noqa: SIM115
    except OSError as error:
        if os.path.islink(path) and not isinstance(error, PermissionError):  # noqa: PTH114
            raise BookError("link", f"{key} is a broken link: {_reason(error)}") from None
        raise
    try:
        _check_regular(key, os.fstat(file.fileno()))
    except BaseException:
        file.close()
        raise
    return file


def _open_at_once(path: str, _: int) -> int:
    return os.open(path, _READ_FLAGS)


def _check_regular(key: str, status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise BookError("changed", f"{key} is a folder now", retryable=True)
    if not stat.S_ISREG(status.st_mode):
        kind = next(
            (name for name, check in _OTHER_KINDS.items() if check(status.st_mode)), "special file"
        )
        raise BookError("not_a_file", f"{key} is a {kind}, not a regular file")


_OTHER_KINDS: dict[str, Callable[[int], bool]] = {
    "pipe": stat.S_ISFIFO,
    "socket": stat.S_ISSOCK,
    "device": lambda mode: stat.S_ISCHR(mode) or stat.S_ISBLK(mode),
}


def explain_unreadable(root: str, error: OSError) -> str:
    """Return the message for a `storage.path` that cannot be listed at all."""
    if isinstance(error, (FileNotFoundError, NotADirectoryError)):
        return f"storage.path={root} is not a folder; set it to the folder that holds the books"
    if isinstance(error, PermissionError):
        return f"storage.path={root} cannot be read by this user; grant read permission"
    return f"storage.path={root} cannot be listed: {_reason(error)}; check the disk"


def key_of_name(name: str) -> str:
    r"""Return the name of a file in a key: bytes that are not UTF-8 become `\xe9`.

    Neither parquet nor JSON takes such bytes. The backslash of a name that looks like an escape is
    escaped, too, so that no two names have the same key.
    """
    if name.isascii() and "\\x" not in name:
        return name
    raw = re.sub(_ESCAPED.encode(), rb"\\x5cx\1", os.fsencode(name))
    return raw.decode("utf-8", "backslashreplace")


def path_of_key(root: str, key: str) -> str:
    """Return the path of a key that was listed."""
    raw = re.sub(_ESCAPED.encode(), lambda escape: bytes.fromhex(escape[1].decode()), key.encode())
    return str(Path(root) / os.fsdecode(raw))


def is_below(path: str, root: str) -> bool:
    """Return whether a real path is a real folder or in it."""
    return path == root or path.startswith(root.rstrip(os.sep) + os.sep)


def _advise(error: OSError) -> str:
    fixes = {
        FileNotFoundError: "if it was deleted, the next run deletes its books",
        PermissionError: "grant read permission",
    }
    return f"{_reason(error)}; {fixes.get(type(error), 'check the disk')}"


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__


def _identify(path: str) -> tuple[int, int] | None:
    """Return what identifies a folder under each of its names; None if it cannot be read."""
    try:
        status = os.stat(path)  # noqa: PTH116
    except OSError:
        return None
    return status.st_dev, status.st_ino
