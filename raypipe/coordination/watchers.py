"""What follows a run from outside: notifications and metrics. None of them can harm the run."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from raypipe.coordination.progress import ProgressView

log = logging.getLogger(__name__)

END_WAIT_S = 5.0
"""Seconds that a run waits at its end for the last messages of all watchers together. A stopped
run ends within 30 s: its books have 20 s, the record and Ray's shutdown take up to 5 s."""


class RunWatcher(Protocol):
    """Follows a run to its end."""

    def follow(self, run_id: str) -> ProgressView:
        """Return the view that gets the progress of a run which is about to begin."""

    def end(self, record: Mapping[str, Any]) -> None:
        """Report the end of the run, without waiting.

        Args:
            record: The fields of run.json. The status `running` means an unexpected end.
        """

    def wait(self, seconds: float) -> None:
        """Wait until the reports are sent, at most for some seconds."""


def end_watchers(
    watchers: Sequence[RunWatcher], record: Mapping[str, Any], wait_s: float = END_WAIT_S
) -> None:
    """Report the end of a run to its watchers; their errors become a warning.

    Args:
        watchers: The watchers.
        record: The fields of run.json.
        wait_s: Seconds to wait for all of them together.
    """
    deadline = time.monotonic() + wait_s
    for watcher in watchers:
        try:
            watcher.end(record)
        except Exception as error:  # the run itself has succeeded; the text may hold a secret
            log.warning("%s failed: %s", type(watcher).__name__, type(error).__name__)
    for watcher in watchers:
        watcher.wait(max(deadline - time.monotonic(), 0.0))
