"""Handle Ctrl-C, SIGTERM and SIGHUP from the first moment of a command to its last.

| moment | the first signal | the second |
|---|---|---|
| before the command's work: options are read, packages imported | ends the process | |
| the command works, and no book is processed | raises `KeyboardInterrupt` | ends the process |
| books are processed, until the result is printed | stops the run cleanly | ends the process |
| after the command | ends the process with the command's exit code | |
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType, TracebackType

from raypipe.core import exit_codes
from raypipe.core.stop import StopRequest, request_stop

STOP_REQUESTED = threading.Event()
"""Set by the first signal: no further job of a multirun is started."""

_Handler = Callable[[int, FrameType | None], None]


def end_on_signal(code: int | None = None) -> None:
    """Let a signal end the process at once: it has started nothing yet, or is done.

    An exception could be raised in the middle of an import, where Python prints it or loses it.

    Args:
        code: Exit code of the finished command; None if its work has not begun.
    """

    def end(number: int, frame: FrameType | None) -> None:
        if code is None:
            line = f"raypipe: stopped by {_name(number)} before any work was started\n"
            with suppress(OSError):
                os.write(2, line.encode())
        os._exit(exit_codes.STOPPED if code is None else code)

    _install(end)


@contextmanager
def interrupt_on_signal() -> Iterator[None]:
    """Raise `KeyboardInterrupt` with the name of the first signal; the second ends the process.

    What the command holds is released: its services stop, and so does the lock of the state.
    """

    def interrupt(number: int, frame: FrameType | None) -> None:
        if STOP_REQUESTED.is_set():
            os._exit(exit_codes.STOPPED)
        STOP_REQUESTED.set()
        raise KeyboardInterrupt(_name(number))

    previous = _install(interrupt)
    try:
        yield
    finally:
        _restore(previous)


class StopSignals:
    """Signals that stop a run cleanly. Leaving the context restores the handlers before it.

    The context must be entered in the main thread, where Python handles signals.
    """

    def __init__(self) -> None:
        self._requested = StopRequest()
        self._previous: dict[signal.Signals, object] = {}

    def __enter__(self) -> StopSignals:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _restore(self._previous)

    @contextmanager
    def listen(self) -> Iterator[threading.Event]:
        """Yield an event that the first signal sets; the second ends the process.

        A signal handler may interrupt any code, so it only sets the event; the thread that waits
        for the event does the work. After the block, while Ray and the services stop, the first
        signal still changes nothing: the run is recorded, and its result is yet to be printed.
        """
        if STOP_REQUESTED.is_set():  # Python may lose an exception that a handler raises
            self._requested.set()
        self._previous = _install(self._handle)
        yield self._requested

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._requested.is_set():
            # Children end with this process; the ledger is consistent at any moment.
            os._exit(exit_codes.STOPPED)
        request_stop(self._requested, _name(number))
        STOP_REQUESTED.set()


def _install(handler: _Handler) -> dict[signal.Signals, object]:
    """Install a handler of all signals; return the handlers before it.

    `nohup` ignores SIGHUP for its command, which then goes on without its terminal.
    """
    numbers = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    return {number: signal.signal(number, handler) for number in numbers}


def _restore(previous: dict[signal.Signals, object]) -> None:
    for number, handler in previous.items():
        signal.signal(number, handler)  # type: ignore[arg-type]
    previous.clear()


def _name(number: int) -> str:
    name = signal.Signals(number).name
    return f"{name} (Ctrl-C)" if number == signal.SIGINT else name
