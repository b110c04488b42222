"""Read a remote object like a file, fetching only the ranges that are read."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any


class RangeReader(io.RawIOBase):
    """A seekable reader of an object whose last bytes are in memory.

    Args:
        fetch: Returns the bytes of the object from a start up to a stop position.
        tail: The last bytes of the object.
        size: Size of the object in bytes.
    """

    def __init__(self, fetch: Callable[[int, int], bytes], tail: bytes, size: int) -> None:
        super().__init__()
        self._fetch, self._tail, self._size = fetch, tail, size
        self._position = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position and return it."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, start + offset)
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        """Return up to `size` bytes from the position; all remaining bytes for None or -1."""
        stop = self._size if size is None or size < 0 else min(self._size, self._position + size)
        start, self._position = self._position, max(stop, self._position)
        if start >= stop:
            return b""
        tail_start = self._size - len(self._tail)
        if start >= tail_start:
            return self._tail[start - tail_start : stop - tail_start]
        fetched = self._fetch(start, min(stop, tail_start))
        return fetched + self._tail[: max(0, stop - tail_start)]

    def readinto(self, buffer: Any) -> int:
        """Read into a buffer and return the number of bytes."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)
