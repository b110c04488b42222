"""The queue of calls that wait for a lease."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from raypipe.quota.protocol import CallRequest, Lease
from raypipe.quota.sessions import RunAccount


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a call gets no lease.

    Args:
        kind: `stopped`: the run stops. `budget`: the call does not fit, and no call in flight can
            make room. `setup`: the quota can never hold the call. `retry`: the worker was believed
            dead; it has to ask again.
        reason: For messages.
    """

    kind: Literal["stopped", "budget", "setup", "retry"]
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class WaitingCall:
    """A call that waits for its lease.

    Args:
        account: The account that pays.
        worker: The process that makes the call.
        request: The most that the call can take.
        reply: Called once with the lease or the refusal.
    """

    account: RunAccount
    worker: str
    request: CallRequest
    reply: Callable[[Lease | Refusal], None]


class WaitingCalls:
    """Waiting calls: first come, first served, but calls that were refused before come first."""

    def __init__(self) -> None:
        self._retries: deque[WaitingCall] = deque()
        self._new: deque[WaitingCall] = deque()

    def __iter__(self) -> Iterator[WaitingCall]:
        """Iterate over a copy in order, so that calls may be removed meanwhile."""
        return iter([*self._retries, *self._new])

    def __len__(self) -> int:
        """Return the number of waiting calls."""
        return len(self._retries) + len(self._new)

    def __contains__(self, call: WaitingCall) -> bool:
        """Return whether a call waits."""
        return call in self._queue_of(call)

    def add(self, call: WaitingCall) -> None:
        """Add a call at the end of its queue."""
        self._queue_of(call).append(call)

    def remove(self, call: WaitingCall) -> None:
        """Remove a call."""
        self._queue_of(call).remove(call)

    def _queue_of(self, call: WaitingCall) -> deque[WaitingCall]:
        return self._retries if call.request.is_retry else self._new
