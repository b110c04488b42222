"""Run functions in a child process that can be killed while they hold the GIL."""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, BinaryIO, cast

from raypipe.core.child_main import read_message, write_message

_START_S = 120.0
_STOP_S = 2.0


class DeadlineError(Exception):
    """A call took longer than its deadline; the child was killed."""


class ChildDiedError(Exception):
    """The child died, also when the call was tried again."""


class ChildError(Exception):
    """A function raised in the child; the message is its traceback."""


class ChildProcess:
    """A child process that runs the functions of a module, one call at a time.

    It starts with the first call, ends with this process, and is replaced after a kill. Calls wait
    for each other; the deadline counts from the start of a call. Safe for many threads; a fork of
    this process starts its own child.

    Args:
        module: Name of the module. Its functions take bytes and keyword arguments for JSON, and
            return a value for JSON and bytes.
    """

    def __init__(self, module: str) -> None:
        self._module = module
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = os.getpid()

    @property
    def pid(self) -> int | None:
        """Id of the running child; None if there is none."""
        return self._process.pid if self._process else None

    def call(
        self, function: str, data: bytes, arguments: Mapping[str, Any], deadline_s: float
    ) -> tuple[Any, bytes]:
        """Call a function in the child.

        Args:
            function: Name of the function.
            data: Its bytes.
            arguments: Its keyword arguments.
            deadline_s: Seconds that it may take.

        Returns:
            What the function returned.

        Raises:
            DeadlineError: It took longer.
            ChildDiedError: The child died, also when the call was tried again.
            ChildError: The function raised.
        """
        call = {"function": function, "arguments": dict(arguments), "deadline_s": deadline_s}
        self._forget_after_fork()
        with self._lock:
            for _ in range(2):  # a child that died while idle is no fault of the call
                process = self._process or self._start()
                answer = self._exchange(process, deadline_s, call, data)
                if answer is not None:
                    break
            else:
                raise ChildDiedError("the child process died twice (out of memory, or a crash)")
        header, output = answer
        if "error" in header:
            raise ChildError(header["error"])
        return header["value"], output

    def close(self) -> None:
        """End the child; the next call starts another."""
        with self._lock:
            self._stop()

    def _start(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "raypipe.core.child_main", self._module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            start_new_session=True,  # Ctrl-C is for this process
        )
        self._process = process
        atexit.register(self.close)
        if self._exchange(process, _START_S, None, b"") is None:
            raise ChildDiedError("the child process did not start; the log has its output")
        return process

    def _exchange(
        self,
        process: subprocess.Popen[bytes],
        seconds: float,
        call: dict[str, Any] | None,
        data: bytes,
    ) -> tuple[dict[str, Any], bytes] | None:
        """Send a call and return the answer; None if the child died.

        Raises:
            DeadlineError: The answer took longer than `seconds`.
        """
        requests, answers = cast(BinaryIO, process.stdin), cast(BinaryIO, process.stdout)
        expired = threading.Event()

        def expire() -> None:
            expired.set()
            process.kill()

        # A thread waits, because a large call may block as well as its answer.
        timer = threading.Timer(seconds, expire)
        timer.daemon = True
        timer.start()
        answer = None
        try:
            if call is not None:
                write_message(requests, call, data)
            answer = read_message(answers)
        except ConnectionError:
            pass  # the child died
        finally:
            timer.cancel()
            if answer is None:  # also where this thread was interrupted
                self._stop(at_once=True)
        if answer is None and expired.is_set():
            raise DeadlineError(f"no answer within {seconds:g} s")
        return answer

    def _stop(self, *, at_once: bool = False) -> None:
        process, self._process = self._process, None
        if process is None or self._owner != os.getpid():
            return
        atexit.unregister(self.close)
        if at_once:
            process.kill()
        for stream in (process.stdin, process.stdout):
            with suppress(OSError):
                if stream is not None:
                    stream.close()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _forget_after_fork(self) -> None:
        if self._owner != os.getpid():
            self._owner, self._process, self._lock = os.getpid(), None, threading.Lock()
