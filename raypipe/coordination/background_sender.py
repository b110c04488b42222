"""Send messages in a thread, so that a slow or failing receiver never delays a run."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

log = logging.getLogger(__name__)

MAX_WAITING = 100
"""Messages that wait for a slow receiver; later ones are dropped."""

IDLE_S = 30.0
"""Seconds without a message after which the thread ends; the next message starts another."""

T = TypeVar("T")


class SendError(Exception):
    """A message was not delivered. The text is shown to the user and holds no secret."""


class BackgroundSender(Generic[T]):
    """Sends messages one after another in a daemon thread, which lives while there are messages.

    The first failure is logged as a warning, later ones as debug lines. Only the text of a
    `SendError` is logged; of other exceptions the type, because their text may hold a URL.

    Args:
        name: Option of the receiver, for messages, e.g. `notify.slack`.
        send: Delivers a message.
    """

    def __init__(self, name: str, send: Callable[[T], None]) -> None:
        self._name = name
        self._send = send
        self._waiting: queue.Queue[T] = queue.Queue(MAX_WAITING)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._has_warned = False

    def submit(self, message: T) -> None:
        """Send a message soon."""
        with self._lock:
            try:
                self._waiting.put_nowait(message)
            except queue.Full:
                self._warn(f"its receiver is too slow; more than {MAX_WAITING} messages wait")
                return
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()

    @property
    def is_idle(self) -> bool:
        """Return whether every message was delivered or has failed."""
        return not self._waiting.unfinished_tasks

    def wait(self, seconds: float) -> None:
        """Wait until every message was delivered or has failed, at most for some seconds."""
        deadline = time.monotonic() + seconds
        while not self.is_idle:
            if time.monotonic() >= deadline:
                self._warn("no answer in time; the run ends without it")
                return
            time.sleep(0.02)

    def _run(self) -> None:
        while True:
            try:
                message = self._waiting.get(timeout=IDLE_S)
            except queue.Empty:
                with self._lock:
                    if self.is_idle:
                        self._thread = None
                        return
                continue
            try:
                self._send(message)
            except SendError as error:
                self._warn(str(error))
            except BaseException as error:  # the text may hold the URL of the receiver
                self._warn(type(error).__name__)
            finally:
                self._waiting.task_done()

    def _warn(self, problem: str) -> None:
        level = logging.DEBUG if self._has_warned else logging.WARNING
        self._has_warned = True
        log.log(level, "%s: not sent: %s", self._name, problem)
