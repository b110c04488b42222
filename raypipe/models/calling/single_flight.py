"""Make equal calls that are pending at the same time only once."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from raypipe.core.errors import SetupError
from raypipe.core.stop import StopCheck
from raypipe.models.protocol import ModelCall, TooLongError

T = TypeVar("T")


@dataclass(eq=False)
class PendingCall(Generic[T]):
    """A submitted call and the future that its submitter waits for.

    Args:
        group: The group that the call takes turns for: a book.
        cache_group: The group of the cache that holds its answer.
        key: Key of the answer in the cache; equal calls have equal keys.
        call: The call.
        stop_check: Returns the stop reason.
        name: Name for messages: the book's key.
        old_keys: Keys under which an older raypipe may have cached the answer.
    """

    group: str
    cache_group: str
    key: str
    call: ModelCall[T]
    stop_check: StopCheck
    name: str
    old_keys: tuple[str, ...] = ()
    future: Future[T] = field(default_factory=Future)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _decided: bool = False
    _runs: bool = False

    def __post_init__(self) -> None:
        """Notify those who wait for the future as soon as it is canceled."""
        self.future.add_done_callback(lambda future: future.cancelled() and self.start())

    def start(self) -> bool:
        """Return whether the call goes on; once started it cannot be canceled."""
        with self._lock:
            if not self._decided:
                self._decided = True
                self._runs = self.future.set_running_or_notify_cancel()
            return self._runs

    def stop_reason(self) -> str:
        """Return why no request may be sent for the call, or ''."""
        return "canceled" if self.future.cancelled() else self.stop_check()

    def resolve(self, get_answer: Callable[[], T]) -> None:
        """Set the future to the result or error of `get_answer`, unless it was canceled."""
        try:
            answer = get_answer()
        except BaseException as error:
            self.fail(error)
        else:
            if self.start():
                self.future.set_result(answer)

    def fail(self, error: BaseException) -> None:
        """Set the future to an error, unless it was canceled."""
        if self.start():
            self.future.set_exception(error)


class SingleFlight:
    """Pending calls by key: the first one of a key leads, the others follow. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._followers: dict[str, deque[PendingCall[Any]]] = {}

    def is_leader(self, pending: PendingCall[Any]) -> bool:
        """Register a call; return whether it must be made. If not, it follows an equal call."""
        with self._lock:
            if pending.key in self._followers:
                self._followers[pending.key].append(pending)
                return False
            self._followers[pending.key] = deque()
            return True

    def complete(
        self, leader: PendingCall[Any]
    ) -> tuple[list[PendingCall[Any]], list[PendingCall[Any]]]:
        """Remove a call that is done; return the followers that it serves, and the others.

        An answer serves all followers, and so does an error that every equal call would get. A
        stop, a cancellation or a model that did not answer concerns the leader alone: its
        followers have to be submitted again.
        """
        with self._lock:
            followers = list(self._followers.pop(leader.key))
        if leader.future.cancelled():
            return [], followers
        error = leader.future.exception()
        serves_all = error is None or isinstance(error, (SetupError, TooLongError))
        return (followers, []) if serves_all else ([], followers)
