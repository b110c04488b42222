"""Handle Ctrl-C and SIGTERM: the first stops the run cleanly, the second ends the process."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from raypipe.core import exit_codes
from raypipe.core.stop import StopRequest, request_stop

_NAMES = {signal.SIGINT: "SIGINT (Ctrl-C)", signal.SIGTERM: "SIGTERM"}

STOP_REQUESTED = threading.Event()
"""Set by the first signal: no further job of a multirun is started."""


@contextmanager
def stop_on_signal() -> Iterator[threading.Event]:
    """Yield an event that the first SIGINT or SIGTERM sets; the second ends the process.

    The block must run in the main thread, where Python handles signals. A signal handler may
    interrupt any code, so it only sets the event. The thread that waits for the event does the
    work.
    """
    requested = StopRequest()

    def handle(number: int, frame: FrameType | None) -> None:
        if requested.is_set():
            # Children end with this process; the ledger is consistent at any moment.
            os._exit(exit_codes.STOPPED)
        request_stop(requested, _NAMES[signal.Signals(number)])
        STOP_REQUESTED.set()

    previous = {number: signal.signal(number, handle) for number in _NAMES}
    try:
        yield requested
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
