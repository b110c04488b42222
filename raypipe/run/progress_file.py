"""Write the progress of a run to its state, for `raypipe status` and other machines."""

from __future__ import annotations

import json
import logging
import os
import platform
import threading
import time
from typing import Any

from raypipe.coordination.progress import Snapshot
from raypipe.ledger.run_records import FOLDER
from raypipe.run.work import Work

log = logging.getLogger(__name__)

INTERVAL_S = 10.0
"""Least seconds between two writes: on S3 a write is a paid request."""
_LAST_WRITE_S = 5.0


class ProgressFile:
    """Writes `runs/<run_id>/progress.json` while books are processed, and marks it ended.

    The keys: `run_id`; `at` (UTC, ISO 8601); `pid_host` (`<process id>@<host>`); `listed`, `todo`,
    `done`, `failed`, `left` (books); `stages` (books and bytes that came out of each); `calls`,
    `estimated_calls`, `tokens` (`input`, `output`), `usd`; `rate_per_s` (books); `calls_per_s`;
    `eta_s`, `limit`; `memory_bytes`; `throttled`; `bulk` (`requests`, `documents`); `stop_reason`;
    `failures` (books by kind); `ended`. A value that is unknown is null.

    Args:
        work: The books, and the state.
    """

    every_s = INTERVAL_S

    def __init__(self, work: Work) -> None:
        self._work = work
        self._writing: threading.Thread | None = None

    def show(self, snapshot: Snapshot) -> None:
        """Write the file in a thread: a slow state delays neither a stop nor a progress line."""
        if self._writing is not None:
            self._writing.join(_LAST_WRITE_S if snapshot.ended else 0)
            if self._writing.is_alive():
                return
        data = json.dumps(self._describe(snapshot), indent=1).encode()
        self._writing = threading.Thread(target=self._write, args=(data,), daemon=True)
        self._writing.start()
        if snapshot.ended:
            self._writing.join(_LAST_WRITE_S)

    def _write(self, data: bytes) -> None:
        try:
            self._work.ledger.state.put(progress_name(self._work.run_id), data, durable=False)
        except Exception as error:  # the run itself says so if the state cannot be written
            log.debug("progress.json cannot be written: %s", error)

    def _describe(self, snapshot: Snapshot) -> dict[str, Any]:
        return {
            "run_id": self._work.run_id,
            "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "pid_host": f"{os.getpid()}@{platform.node()}",
            "listed": self._work.listed,
            **snapshot.describe(),
            "ended": snapshot.ended,
        }


def progress_name(run_id: str) -> str:
    """Return the name of a run's progress in its state."""
    return f"{FOLDER}/{run_id}/progress.json"
