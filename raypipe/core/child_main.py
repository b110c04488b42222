"""Serve the calls of `ChildProcess`: `python -m raypipe.core.child_main MODULE`.

A call is a line of JSON with the name of a function of the module, its arguments and the number of
bytes that follow. The function gets the bytes and the arguments, and returns a value for JSON and
bytes, which go back in the same form.

The process ends when its parent ends, even while C code holds the GIL: the kernel sends SIGIO when
the last writer of stdin is gone, and SIGALRM some time after the deadline of the call. Both
terminate a process that has no handler for them.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import ModuleType
from typing import Any, BinaryIO

_GRACE_S = 10.0
"""Seconds after the deadline in which the parent should have killed this process."""


def main() -> None:
    """Serve calls until stdin ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent
    if sys.platform != "win32":
        for number in (signal.SIGALRM, signal.SIGIO):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGALRM, signal.SIGIO))
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # nothing else may print into the answers
    module = importlib.import_module(sys.argv[1])
    write_message(answers, {"ready": True}, b"")
    while message := read_message(sys.stdin.buffer):
        call, data = message
        with _die_with_parent(call["deadline_s"] + _GRACE_S):
            answer, output = _run(module, call, data)
        try:
            write_message(answers, answer, output)
        except BrokenPipeError:
            return


def write_message(stream: BinaryIO, header: dict[str, Any], data: bytes) -> None:
    """Write a line of JSON and bytes.

    Raises:
        BrokenPipeError: The reader is gone.
    """
    stream.write(json.dumps({**header, "bytes": len(data)}).encode() + b"\n")
    stream.write(data)
    stream.flush()


def read_message(stream: BinaryIO) -> tuple[dict[str, Any], bytes] | None:
    """Read what `write_message` wrote; None if the stream ends."""
    line = stream.readline()
    if not line.endswith(b"\n"):
        return None
    header: dict[str, Any] = json.loads(line)
    data = stream.read(header["bytes"])
    return (header, data) if len(data) == header["bytes"] else None


def _run(module: ModuleType, call: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
    try:
        value, output = getattr(module, call["function"])(data, **call["arguments"])
    except Exception:
        return {"error": traceback.format_exc()}, b""
    return {"value": value}, output


@contextmanager
def _die_with_parent(seconds: float) -> Iterator[None]:
    """Let the kernel end this process when the parent ends, or after some seconds."""
    if sys.platform == "win32":
        yield  # an idle child ends with its parent, a busy child after its call
        return
    import fcntl

    flags = fcntl.fcntl(0, fcntl.F_GETFL)
    with suppress(OSError):  # not on every platform; the alarm remains
        fcntl.fcntl(0, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(0, fcntl.F_SETFL, flags | os.O_ASYNC)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        with suppress(OSError):
            fcntl.fcntl(0, fcntl.F_SETFL, flags)


if __name__ == "__main__":
    main()
