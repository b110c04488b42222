"""Show the progress of a download: a bar on a terminal, log lines elsewhere."""

from __future__ import annotations

import logging
import sys
import threading
import time
from types import TracebackType
from typing import Any

log = logging.getLogger(__name__)

LOG_INTERVAL_S = 4.0


class DownloadProgress:
    """Counts bytes from several threads and shows them, on stderr or in the log.

    Args:
        total: Expected number of bytes.
        name: What is downloaded.
    """

    def __init__(self, total: int, name: str) -> None:
        self.total = total
        self.name = name
        self.done = 0
        self._lock = threading.Lock()
        self._last_byte_at = self._last_line_at = time.monotonic()
        self._bar: Any = None

    def __enter__(self) -> DownloadProgress:
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
        """Count bytes; a negative count takes back a file that must be downloaded again."""
        with self._lock:
            self.done += count
            if count > 0:
                self._last_byte_at = time.monotonic()
            if self._bar is not None:
                self._bar.update(count)
            elif time.monotonic() - self._last_line_at > LOG_INTERVAL_S:
                self._last_line_at = time.monotonic()
                log.info(
                    "downloading %s: %d of %d MB",
                    self.name,
                    self.done // 10**6,
                    self.total // 10**6,
                )

    def idle_s(self) -> float:
        """Return the seconds since the last byte."""
        with self._lock:
            return time.monotonic() - self._last_byte_at
