"""Threads that take turns over the books, so that a book of 400 chunks delays no other."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")

_IDLE_S = 10.0
"""A thread without work ends after this many seconds."""


class FairPool:
    """At most `threads` calls at a time, the next one from the group that waited longest.

    Threads are started as they are needed and end when they are idle. They are daemons: an
    interpreter that exits does not wait for a model. A pickled pool comes back empty.

    Args:
        threads: Most threads.
        name: What the threads are called.
    """

    def __init__(self, threads: int, name: str = "models") -> None:
        if threads < 1:
            raise ValueError(f"threads={threads}: at least 1")
        self.threads = threads
        self._name = name
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        self._waiting: dict[str, deque[tuple[Future[Any], Callable[[], Any]]]] = {}
        self._running = 0  # threads
        self._idle = 0

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the settings; threads and what waits stay here."""
        return FairPool, (self.threads, self._name)

    def submit(self, group: str, fn: Callable[[], T]) -> Future[T]:
        """Call `fn` in a thread when it is the group's turn; cancelled before, it never runs."""
        future: Future[T] = Future()
        with self._lock:
            self._waiting.setdefault(group, deque()).append((future, fn))
            if self._idle >= sum(map(len, self._waiting.values())):
                self._work.notify()
            elif self._running < self.threads:
                self._start()
        return future

    def _start(self) -> None:
        thread = threading.Thread(target=self._take_turns, name=self._name, daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the system has no more threads: those that run must do
            if not self._running:
                raise
        else:
            self._running += 1

    def _take_turns(self) -> None:
        while True:
            taken = self._next()
            if taken is None:
                return
            future, fn = taken
            if future.set_running_or_notify_cancel():
                _run(future, fn)
            del taken, future, fn  # an idle thread keeps no answer alive

    def _next(self) -> tuple[Future[Any], Callable[[], Any]] | None:
        """Return the next call, or None: this thread has ended."""
        with self._lock:
            while not self._waiting:
                self._idle += 1
                woken = self._work.wait(_IDLE_S)
                self._idle -= 1
                if not woken and not self._waiting:
                    self._running -= 1
                    return None
            group = next(iter(self._waiting))
            calls = self._waiting.pop(group)
            taken = calls.popleft()
            if calls:
                self._waiting[group] = calls  # behind the others
            return taken


def _run(future: Future[Any], fn: Callable[[], Any]) -> None:
    try:
        result = fn()
    except BaseException as error:
        future.set_exception(error)
        del future  # the error's traceback would keep it alive
    else:
        future.set_result(result)
