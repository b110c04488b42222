"""Folders that fail while they are listed. The superuser can read any real folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest


@contextmanager
def failing(folder: Path, errno: int, after: int | None = None) -> Iterator[None]:
    """Let the listing of a folder fail while the block runs.

    Args:
        folder: The folder.
        errno: Number of the error.
        after: Number of entries that are read before; None if the folder cannot be opened.
    """
    scandir = os.scandir

    class Entries:
        def __init__(self, entries: Any) -> None:
            self.entries = entries

        def __iter__(self) -> Iterator[os.DirEntry[str]]:
            for number, entry in enumerate(self.entries):
                if number == after:
                    break
                yield entry
            raise OSError(errno, os.strerror(errno), str(folder))

        def __enter__(self) -> Entries:
            return self

        def __exit__(self, *_: object) -> None:
            self.entries.close()

    def fail(path: Any) -> Any:
        if not Path(path).samefile(folder):
            return scandir(path)
        if after is None:
            raise OSError(errno, os.strerror(errno), str(folder))
        return Entries(scandir(path))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "scandir", fail)
        yield
