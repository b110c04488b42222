"""Create files and folders that other users of the machine cannot read.

The modes are given at creation: the umask of the process belongs to its user's code, too.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PRIVATE_FILE = 0o600
PRIVATE_FOLDER = 0o700
_BINARY = getattr(os, "O_BINARY", 0)  # Windows would change line ends


def open_private(path: str, flags: int) -> int:
    """Open a file as an `opener`; a new file gets the mode 0600, an existing file keeps its own."""
    return os.open(path, flags, PRIVATE_FILE)


@dataclass(frozen=True)
class GroupAccess:
    """What the group of a folder may do with new files in it.

    A folder counts as made for its group if the group may write to it, or if other users may not
    enter it: 0770, 0750, 0775. `mkdir` gives every folder 0755, so that mode says nothing.

    Args:
        bits: Group bits of a folder's mode, such as 0o070; 0 for no access.
        gid: Id of the group.
    """

    bits: int = 0
    gid: int = -1

    @classmethod
    def in_folder(cls, folder: Path) -> GroupAccess:
        """Return the access of a folder's group; none if there is no such folder."""
        try:
            status = folder.stat()
        except (FileNotFoundError, NotADirectoryError):
            return cls()
        is_for_group = status.st_mode & stat.S_IWGRP or not status.st_mode & stat.S_IRWXO
        if os.name == "nt" or not is_for_group:
            return cls()
        return cls(status.st_mode & stat.S_IRWXG, status.st_gid)

    @property
    def file_mode(self) -> int:
        """Return the mode of new files."""
        return PRIVATE_FILE | self.bits & 0o060

    def write_new(self, path: Path, data: bytes, *, durable: bool) -> None:
        """Create a file with this content, and sync it if it must survive a power failure.

        It makes few system calls: Python's lock is released in each, and busy threads take it.

        Raises:
            OSError: The file exists, or cannot be written.
        """
        handle = open_private(str(path), os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY)
        try:
            self._give_to_group(handle, self.file_mode)
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(handle, rest) :]
            if durable:
                os.fsync(handle)
        finally:
            os.close(handle)

    def create_folder(self, folder: Path) -> None:
        """Create a folder, unless it exists; an existing folder keeps its mode."""
        try:
            folder.mkdir(PRIVATE_FOLDER)
        except FileExistsError:
            if not folder.is_dir():
                raise
            return
        if not self.bits:
            return
        # By its handle: a member of the group may replace the name by a link to another folder.
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            set_gid = os.fstat(handle).st_mode & stat.S_ISGID  # `chmod` would clear it
            self._give_to_group(handle, PRIVATE_FOLDER | self.bits | set_gid)
        finally:
            os.close(handle)

    def set_group(self, path: Path) -> None:
        """Give a file that another library created to the group."""
        if self.bits:
            with suppress(OSError):  # another user's file
                os.chown(path, -1, self.gid, follow_symlinks=False)

    def _give_to_group(self, handle: int, mode: int) -> None:
        """Set group and mode: the umask must not take from the group what the folder gives it."""
        if not self.bits:
            return
        with suppress(OSError):  # this user is not in the group
            os.fchown(handle, -1, self.gid)
        with suppress(OSError):  # a file system without modes
            os.fchmod(handle, mode)
