"""How far a download is: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import logging
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import TracebackType

log = logging.getLogger(__name__)

LINE_EVERY_S = 4.0


class Progress:
    """Counts bytes from several threads and shows them, on stderr or in the log."""

    def __init__(self, total: int, name: str) -> None:
        self.total = total
        self.name = name
        self.done = 0
        self._lock = threading.Lock()
        self._moved = self._told = time.monotonic()
        self._bar: Any = None

    def __enter__(self) -> Progress:
        if sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(
                total=self.total, desc=self.name, unit="B", unit_scale=True, file=sys.stderr
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def add(self, count: int) -> None:
        """Count bytes; negative ones for a file that has to be fetched again."""
        with self._lock:
            self.done += count
            if count > 0:
                self._moved = time.monotonic()
            if self._bar is not None:
                self._bar.update(count)
            elif time.monotonic() - self._told > LINE_EVERY_S:
                self._told = time.monotonic()
                log.info("%s: %d of %d MB", self.name, self.done // 10**6, self.total // 10**6)

    def idle_s(self) -> float:
        """Seconds since the last byte."""
        with self._lock:
            return time.monotonic() - self._moved
