"""Threads that take turns over a few books at a time: a book of 400 chunks delays no other."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from heapq import nsmallest
from typing import Any, TypeVar

T = TypeVar("T")

_IDLE_S = 10.0
"""A thread without work ends after this many seconds."""
_THREADS_PER_GROUP = 32
_FEWEST_GROUPS = 4
_REMEMBERED = 4_096  # groups whose age is known after they waited for nothing

_Call = tuple[Future[Any], Callable[[], Any]]


@dataclass(slots=True)
class _Group:
    """What is known of a group.

    Args:
        came: Its number, in the order in which groups came.
        served: Number of its last call among all calls.
    """

    came: int
    served: int = 0
    waiting: deque[_Call] = field(default_factory=deque)


class FairThreadPool:
    """At most `threads` calls at a time; the oldest groups that have any take turns.

    A group is as old as its first call, whatever it asks later: were all groups to take turns,
    all books would be at the same place, and would end together, with threads that have nothing
    to do meanwhile. Were the oldest one served alone, a long book would hold up the others.

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
        self._groups: dict[str, _Group] = {}
        self._waiting: dict[str, _Group] = {}  # those of them with calls that wait
        self._turns = max(_FEWEST_GROUPS, threads // _THREADS_PER_GROUP)
        self._came = self._served = self._calls = 0
        self._running = 0  # threads
        self._idle = 0

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the settings; threads and what waits stay here."""
        return FairThreadPool, (self.threads, self._name)

    def submit(self, group: str, fn: Callable[[], T]) -> Future[T]:
        """Call `fn` in a thread when it is the group's turn; cancelled before, it never runs."""
        future: Future[T] = Future()
        with self._lock:
            one = self._known(group)
            one.waiting.append((future, fn))
            self._waiting[group] = one
            self._calls += 1
            if self._idle >= self._calls:
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

    def _next(self) -> _Call | None:
        """Return the next call, or None: this thread has ended."""
        with self._lock:
            while not self._waiting:
                self._idle += 1
                woken = self._work.wait(_IDLE_S)
                self._idle -= 1
                if not woken and not self._waiting:
                    self._running -= 1
                    return None
            return self._turn()

    def _turn(self) -> _Call:
        """Take a call of that one of the oldest groups whose last turn is longest ago."""
        oldest = nsmallest(self._turns, self._waiting.items(), key=lambda item: item[1].came)
        name, group = min(oldest, key=lambda item: item[1].served)
        self._served += 1
        group.served = self._served
        self._calls -= 1
        call = group.waiting.popleft()
        if not group.waiting:
            del self._waiting[name]
        return call

    def _known(self, name: str) -> _Group:
        if name not in self._groups:
            while len(self._groups) >= _REMEMBERED + len(self._waiting):
                del self._groups[next(one for one in self._groups if one not in self._waiting)]
            self._came += 1
            self._groups[name] = _Group(self._came)
        return self._groups[name]


def _run(future: Future[Any], fn: Callable[[], Any]) -> None:
    try:
        result = fn()
    except BaseException as error:
        future.set_exception(error)
        del future  # the error's traceback would keep it alive
    else:
        future.set_result(result)
