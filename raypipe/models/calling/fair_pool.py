"""A thread pool in which groups take turns: a book of 400 chunks does not delay other books."""

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
_MIN_GROUPS = 4
_MAX_KNOWN_GROUPS = 4_096
"""Groups without waiting calls whose age is remembered."""

_Task = tuple[Future[Any], Callable[[], Any]]


@dataclass(slots=True)
class _Group:
    """A group and its waiting tasks.

    Args:
        age: Number of the group, in the order of the groups' first tasks.
        last_turn: Number of the group's last task that was run, among all tasks.
        waiting: Tasks that wait for a thread.
    """

    age: int
    last_turn: int = 0
    waiting: deque[_Task] = field(default_factory=deque)


class FairThreadPool:
    """Run at most `threads` tasks at a time; the oldest groups with waiting tasks take turns.

    A group is as old as its first task, whatever it submits later. If all groups took turns, all
    books would progress alike and end together, and threads would idle before the end. If only
    the oldest group was served, a long book would delay the others.

    Threads are started on demand and end when they are idle. They are daemons: an interpreter
    that exits does not wait for a model. A pickled pool arrives empty.

    Args:
        threads: Maximum number of threads.
        name: Name of the threads.
    """

    def __init__(self, threads: int, name: str = "models") -> None:
        if threads < 1:
            raise ValueError(f"threads={threads}: at least 1")
        self.threads = threads
        self._name = name
        self._lock = threading.Lock()
        self._has_work = threading.Condition(self._lock)
        self._groups: dict[str, _Group] = {}
        self._waiting: dict[str, _Group] = {}  # the groups with waiting tasks
        self._groups_in_turn = max(_MIN_GROUPS, threads // _THREADS_PER_GROUP)
        self._group_count = self._turn_count = 0
        self._waiting_tasks = 0
        self._running_threads = 0
        self._idle_threads = 0

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the settings; threads and waiting tasks stay in this process."""
        return FairThreadPool, (self.threads, self._name)

    def submit(self, group: str, fn: Callable[[], T]) -> Future[T]:
        """Run `fn` in a thread when it is the group's turn.

        Raises:
            RuntimeError: The system can start no thread at all.
        """
        future: Future[T] = Future()
        with self._lock:
            known = self._get_or_add(group)
            known.waiting.append((future, fn))
            self._waiting[group] = known
            self._waiting_tasks += 1
            if self._idle_threads >= self._waiting_tasks:
                self._has_work.notify()
            elif self._running_threads < self.threads:
                self._start_thread()
        return future

    def _start_thread(self) -> None:
        thread = threading.Thread(target=self._run_tasks, name=self._name, daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the system has no more threads; the running ones continue
            if not self._running_threads:
                raise
        else:
            self._running_threads += 1

    def _run_tasks(self) -> None:
        while True:
            task = self._wait_for_task()
            if task is None:
                return
            future, fn = task
            if future.set_running_or_notify_cancel():
                _run_task(future, fn)
            del task, future, fn  # an idle thread must not keep an answer alive

    def _wait_for_task(self) -> _Task | None:
        """Return the next task, or None after `_IDLE_S` without one: the thread ends."""
        with self._lock:
            while not self._waiting:
                self._idle_threads += 1
                notified = self._has_work.wait(_IDLE_S)
                self._idle_threads -= 1
                if not notified and not self._waiting:
                    self._running_threads -= 1
                    return None
            return self._take_task()

    def _take_task(self) -> _Task:
        """Take a task of the oldest groups: of the group whose last turn is longest ago."""
        oldest = nsmallest(
            self._groups_in_turn, self._waiting.items(), key=lambda item: item[1].age
        )
        name, group = min(oldest, key=lambda item: item[1].last_turn)
        self._turn_count += 1
        group.last_turn = self._turn_count
        self._waiting_tasks -= 1
        task = group.waiting.popleft()
        if not group.waiting:
            del self._waiting[name]
        return task

    def _get_or_add(self, name: str) -> _Group:
        if name not in self._groups:
            while len(self._groups) >= _MAX_KNOWN_GROUPS + len(self._waiting):
                del self._groups[next(old for old in self._groups if old not in self._waiting)]
            self._group_count += 1
            self._groups[name] = _Group(self._group_count)
        return self._groups[name]


def _run_task(future: Future[Any], fn: Callable[[], Any]) -> None:
    try:
        result = fn()
    except BaseException as error:
        future.set_exception(error)
        del future  # the error's traceback would keep it alive
    else:
        future.set_result(result)
