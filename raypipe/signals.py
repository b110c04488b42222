"""Ctrl-C and SIGTERM: once stops cleanly, twice stops at once."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

log = logging.getLogger(__name__)

EXIT_STOPPED = 4
ASKED = threading.Event()
"""Set by the first signal: of a multirun, no other job is begun."""


@contextmanager
def stop_on_signal() -> Iterator[threading.Event]:
    """Yield an event that the first SIGINT or SIGTERM sets; the second ends the process.

    A handler may interrupt anything, so it only sets the event; who waits for it does the work.
    """
    asked = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:
        if asked.is_set():
            os._exit(EXIT_STOPPED)  # children end with us; the ledger is right as it stands
        asked.set()
        ASKED.set()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
