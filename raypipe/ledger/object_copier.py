"""Copy objects from one state to another with threads, within a limit of memory."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from raypipe.state.store import State

log = logging.getLogger(__name__)

_THREADS = 16
_BATCH = 1_024  # objects that are queued at a time
_MAX_BYTES = 256_000_000
"""Bytes in memory at a time; a larger object is copied alone."""
_PROGRESS_S = 10.0


class ObjectCopier:
    """Copies objects as a whole, and counts them.

    Args:
        source: Read from here.
        target: Written to here.
        check: Called before each object; raises to end the copying.

    Attributes:
        copied: Number of objects that were copied.
        bytes: Their size.
    """

    def __init__(self, source: State, target: State, check: Callable[[], None]) -> None:
        self.copied = self.bytes = 0
        self._source, self._target, self._check = source, target, check
        self._memory = _MemoryLimit(_MAX_BYTES)
        self._lock = threading.Lock()
        self._reported_at = time.monotonic()

    def copy(self, sizes: Mapping[str, int], present: MutableMapping[str, int]) -> bool:
        """Copy the objects that the target does not have with the same size.

        Args:
            sizes: Sizes of the objects of the source.
            present: Sizes of the objects of the target; copied objects are added.

        Returns:
            Whether every object existed when it was read.

        Raises:
            SetupError: The source cannot be read, or the target cannot be written.
        """
        missing = [name for name, size in sizes.items() if present.get(name) != size]
        is_complete = True
        with ThreadPoolExecutor(_THREADS, "copy") as pool:
            for start in range(0, len(missing), _BATCH):
                names = missing[start : start + _BATCH]
                copied = pool.map(lambda name: self._copy_object(name, sizes[name]), names)
                for name, size in zip(names, copied, strict=True):
                    if size is None:
                        is_complete = False
                    else:
                        present[name] = size
                self._report(start + len(names), len(missing))
        return is_complete

    def _copy_object(self, name: str, size: int) -> int | None:
        """Copy an object; return its size, or None if it does not exist any more."""
        self._check()
        with self._memory.reserve(size):
            data = self._source.get(name)
            if data is None:
                return None
            self._target.put(name, data)
        with self._lock:
            self.copied += 1
            self.bytes += len(data)
        return len(data)

    def _report(self, done: int, total: int) -> None:
        if time.monotonic() - self._reported_at >= _PROGRESS_S:
            self._reported_at = time.monotonic()
            log.info(
                "copied %s objects, %.1f MB; %s of %s in this step",
                f"{self.copied:,}",
                self.bytes / 1e6,
                f"{done:,}",
                f"{total:,}",
            )


class _MemoryLimit:
    """Lets objects into memory as long as their sizes fit; an object alone always fits."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes, self._used = max_bytes, 0
        self._changed = threading.Condition()

    @contextmanager
    def reserve(self, size: int) -> Iterator[None]:
        """Wait until an object fits, and count it until the context ends."""
        with self._changed:
            self._changed.wait_for(lambda: not self._used or self._used + size <= self._max_bytes)
            self._used += size
        try:
            yield
        finally:
            with self._changed:
                self._used -= size
                self._changed.notify_all()
