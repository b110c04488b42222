"""Ctrl-C and SIGTERM: once stops cleanly and soon, twice stops at once."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

log = logging.getLogger(__name__)

EXIT_STOPPED = 4
ASKED = threading.Event()
"""Set by the first signal: of a multirun, no other job is begun."""


_NUDGE = signal.SIGUSR1


class StopTimeout(KeyboardInterrupt):
    """What was begun before a stop did not end in time.

    A `KeyboardInterrupt`, for that is what Ray gives way to, wherever it waits.
    """


@contextmanager
def interruptible() -> Iterator[Callable[[], None]]:
    """Yield a function that ends the block with `StopTimeout`, from any thread.

    The block must run in the main thread, as all that handles signals.
    """
    main, inside = threading.main_thread(), True

    def handle(number: int, frame: FrameType | None) -> None:
        if inside:
            raise StopTimeout

    def interrupt() -> None:
        signal.pthread_kill(main.ident or 0, _NUDGE)

    before = signal.signal(_NUDGE, handle)
    try:
        yield interrupt
    finally:
        inside = False
        signal.signal(_NUDGE, before)


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
