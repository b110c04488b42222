"""Run work in a thread that the caller waits for, and can give up from any thread."""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable

from raypipe.core.stop import request_stop

_WAIT_S = 0.5
"""Longest wait without a look at the flags; some systems cannot interrupt a longer wait."""
UNWIND_S = 10.0
"""Seconds that interrupted work has to clean up before the caller goes on without it."""


class StopTimeout(KeyboardInterrupt):
    """The work that was started before a stop did not finish in time.

    A `KeyboardInterrupt`, because Ray gives way to it wherever it waits.
    """


class BackgroundWork:
    """Work in a daemon thread. `wait` returns when it ends, or when another thread gives it up.

    A run must not depend on signals, which only the main thread receives: it also works in a
    thread of a server and in a notebook.

    Args:
        work: The work.
        interrupts: Whether giving up raises `StopTimeout` inside the work, at its next Python
            instruction, so that it can clean up. Else the thread is left alone.
    """

    def __init__(self, work: Callable[[], None], *, interrupts: bool) -> None:
        self._work = work
        self._interrupts = interrupts
        self._ended = threading.Event()
        self._error: BaseException | None = None
        self._deadline = float("inf")
        self._has_begun = False
        self._thread = threading.Thread(target=self._run, name="raypipe-graph", daemon=True)

    def wait(self, stop_requested: threading.Event) -> None:
        """Start the work and wait for its end; raise the exception that ended it.

        Args:
            stop_requested: Set at the first Ctrl-C, where Python raises `KeyboardInterrupt` for
                it, as in a notebook. A second Ctrl-C ends the wait.

        Raises:
            StopTimeout: The work was given up.
        """
        self._thread.start()
        while not self._ended.is_set():
            try:
                self._ended.wait(_WAIT_S)
            except KeyboardInterrupt:
                if stop_requested.is_set():
                    raise
                request_stop(stop_requested, "Ctrl-C")
            if time.monotonic() > self._deadline and not self._ended.is_set():
                raise StopTimeout
        if self._error is not None:
            raise self._error

    def give_up(self) -> None:
        """End the wait with `StopTimeout`, at once or when the interrupted work has cleaned up."""
        self._deadline = time.monotonic()
        # An exception inside the start of a thread would leave `Thread.start` waiting for ever.
        if self._interrupts and self._has_begun and self._thread.ident is not None:
            self._deadline += UNWIND_S
            ident, error = ctypes.c_ulong(self._thread.ident), ctypes.py_object(StopTimeout)
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ident, error)

    def _run(self) -> None:
        try:
            self._has_begun = True
            if self._deadline < float("inf"):
                raise StopTimeout
            self._work()
        except BaseException as error:  # `wait` raises it
            self._error = error
        finally:
            self._ended.set()
