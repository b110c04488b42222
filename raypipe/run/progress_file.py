"""Write the progress of a run to its state, for `raypipe status` and other machines."""

from __future__ import annotations

import os
import platform
import time
from typing import Any

from raypipe.coordination.progress import Snapshot
from raypipe.ledger.run_progress import progress_name
from raypipe.run.state_file import StateFile
from raypipe.run.work import Work

INTERVAL_S = 10.0
"""Least seconds between two writes: on S3 a write is a paid request."""


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
        self._file = StateFile(work.ledger.state, progress_name(work.run_id))

    def show(self, snapshot: Snapshot) -> None:
        """Write the file in a thread; see `StateFile.write`."""
        self._file.write(self._describe(snapshot), is_last=snapshot.ended)

    def _describe(self, snapshot: Snapshot) -> dict[str, Any]:
        return {
            "run_id": self._work.run_id,
            "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "pid_host": f"{os.getpid()}@{platform.node()}",
            "listed": self._work.listed,
            **snapshot.describe(),
            "ended": snapshot.ended,
        }
