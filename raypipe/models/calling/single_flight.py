"""What is under way in a caller: calls and who waits for them, equal ones only once."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from raypipe.core.errors import SetupError
from raypipe.core.stop import StopCheck
from raypipe.ledger.answer_cache import AnswerCache, AnswerGroup
from raypipe.models.protocol import ModelCall, TooLongError

T = TypeVar("T")


@dataclass(eq=False)
class PendingCall(Generic[T]):
    """One call that somebody waits for.

    Args:
        turn: The group that it takes turns for.
        group: Where its answer is kept; '' = nowhere.
        key: What the cache knows it by.
        call: What is asked.
        stopped: Why it may not begin.
        name: Whose it is.
    """

    turn: str
    group: str
    key: str
    call: ModelCall[T]
    stopped: StopCheck
    name: str
    future: Future[T] = field(default_factory=Future)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _begun: bool = False
    _runs: bool = False

    def __post_init__(self) -> None:
        """See to it that who waits for a canceled call is told at once."""
        self.future.add_done_callback(lambda future: future.cancelled() and self.begin())

    def begin(self) -> bool:
        """Whether it goes on; from the first time on it cannot be canceled any more."""
        with self._lock:
            if not self._begun:
                self._begun = True
                self._runs = self.future.set_running_or_notify_cancel()
            return self._runs

    def why_not(self) -> str:
        """Tell why nothing new may be sent for it, an empty string while all may."""
        return "canceled" if self.future.cancelled() else self.stopped()

    def end(self, get: Callable[[], T]) -> None:
        """Fulfill the promise with what `get` returns or raises, unless it was canceled."""
        try:
            answer = get()
        except BaseException as error:
            if self.begin():
                self.future.set_exception(error)
        else:
            if self.begin():
                self.future.set_result(answer)


class SingleFlight:
    """Calls that wait for the same one; safe for many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._followers: dict[str, deque[PendingCall[Any]]] = {}

    def is_leader(self, flight: PendingCall[Any]) -> bool:
        """Whether a call must be made; if not, it waits for the one that is under way."""
        with self._lock:
            if flight.key in self._followers:
                self._followers[flight.key].append(flight)
                return False
            self._followers[flight.key] = deque()
            return True

    def landed(
        self, leader: PendingCall[Any]
    ) -> tuple[list[PendingCall[Any]], list[PendingCall[Any]]]:
        """Take the followers of a call that is done: those it served, those that must ask anew.

        An answer is everyone's, and so is what befalls every such call; a stop, a cancellation
        or a model that did not answer in time is the leader's alone.
        """
        with self._lock:
            followers = list(self._followers.pop(leader.key))
        if leader.future.cancelled():
            return [], followers
        error = leader.future.exception()
        shared = error is None or isinstance(error, (SetupError, TooLongError))
        return (followers, []) if shared else ([], followers)


class AnswerGroups:
    """The answers of each group that has calls under way; forgotten with the last of them."""

    def __init__(self, cache: AnswerCache) -> None:
        self._cache = cache
        self._lock = threading.Lock()
        self._open: dict[str, tuple[AnswerGroup, int]] = {}

    def enter(self, group: str, *, direct: bool) -> None:
        """Count a call."""
        with self._lock:
            answers, calls = self._open.get(group) or (self._cache.of(group, direct=direct), 0)
            self._open[group] = answers, calls + 1

    def leave(self, group: str) -> None:
        """Count a call as done."""
        with self._lock:
            answers, calls = self._open.pop(group)
            if calls > 1:
                self._open[group] = answers, calls - 1

    def __getitem__(self, group: str) -> AnswerGroup:
        """Return the answers of a group that was entered."""
        with self._lock:  # `leave` takes it out for a moment
            return self._open[group][0]

    def __len__(self) -> int:
        """Return how many groups have calls under way."""
        return len(self._open)
