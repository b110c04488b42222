"""Keep a value for some seconds, so that many readers cause few reads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class TimedValue(Generic[T]):
    """A value that is read again when it is older than some seconds. Threads may share it.

    A thread that needs a new value reads it while the others wait for it. An error is not kept.

    Args:
        read: Returns the value.
        seconds: How long a value is used; 0 to read it each time.
        clock: Seconds that never go back.
    """

    def __init__(
        self, read: Callable[[], T], seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._read = read
        self._seconds = seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: tuple[float, T] | None = None

    def get(self) -> T:
        """Return the value; errors are those of `read`."""
        with self._lock:
            if self._kept is not None and self._clock() < self._kept[0]:
                return self._kept[1]
            value = self._read()
            self._kept = (self._clock() + self._seconds, value)
            return value

    def clear(self) -> None:
        """Read the value again for the next reader."""
        with self._lock:
            self._kept = None
