"""Allow a single writer per state: a lock with a heartbeat, taken over if its owner died.

The lock is the object `claim.json`, which is changed by compare-and-swap only. It outlives the
run that acquired it, because it holds the number of the last run.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import TracebackType

from raypipe.core.errors import SetupError, StateInUseError
from raypipe.ledger.lock_owner import LOCK_NAME, LockOwner, decode_owner, encode_owner
from raypipe.state.store import State

log = logging.getLogger(__name__)

_LAST_HEARTBEAT_S = 10.0  # to wait for a heartbeat in progress, so that a stop is quick


@dataclass(frozen=True)
class LockTiming:
    """Intervals of the heartbeat, in seconds.

    An owner that cannot reach the state gives up before another run takes the lock over: the
    owner counts `unreachable_s` from before its last successful request, another run counts
    `stale_after_s` from after it saw that heartbeat.

    Args:
        heartbeat_s: Between two heartbeats, and between two checks of a waiting run.
        unreachable_s: Time without a heartbeat after which the owner considers the lock lost.
        stale_after_s: Time without a heartbeat after which another host takes the lock over.
    """

    heartbeat_s: float = 5.0
    unreachable_s: float = 45.0
    stale_after_s: float = 60.0


class WriterLock:
    """A lock that is held, from `WriterLock.acquire`. Leaving its context releases it.

    Args:
        state: The state that the lock protects.
        owner: This process, as written to `claim.json`.
        tag: Tag of that content.
        timing: Intervals of the heartbeat.
        clock: Monotonic seconds.
        requested_at: When the request began that wrote `owner`.

    Attributes:
        run_seq: Number of this run, greater than that of every earlier run; see `raise_run_seq`.
        lost: Set once another run holds the lock or may hold it; this run must then stop.
        reason: Why the lock was lost, for messages.
    """

    def __init__(
        self,
        state: State,
        owner: LockOwner,
        tag: str,
        timing: LockTiming,
        clock: Callable[[], float],
        requested_at: float,
    ) -> None:
        self.run_seq = owner.run_seq
        self.lost = threading.Event()
        self.reason = ""
        self._state, self._owner, self._tag = state, owner, tag
        self._timing, self._clock = timing, clock
        self._last_heartbeat = requested_at
        self._changing = threading.Lock()  # `claim.json`, by the heartbeat or by `raise_run_seq`
        self._released = threading.Event()
        # Two threads: a heartbeat that hangs in the network must not delay the watchdog.
        self._threads = [
            threading.Thread(target=self._send_heartbeats, name="raypipe-heartbeat", daemon=True),
            threading.Thread(target=self._watch_heartbeats, name="raypipe-watchdog", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    @classmethod
    def acquire(
        cls,
        state: State,
        *,
        on_wait: Callable[[str], None] = log.warning,
        timing: LockTiming | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> WriterLock:
        """Acquire the lock; wait while a run on another host holds it and sends heartbeats.

        Args:
            state: The state to write to.
            on_wait: Called once, with a line that names the run that is waited for.
            timing: Intervals of the heartbeat; None for the defaults.
            clock: Monotonic seconds.
            sleep: Waits that many seconds; may raise to give up.

        Raises:
            SetupError: A running process of this host holds the lock, or `claim.json` is damaged.
            StateError: The state cannot be reached.
        """
        timing = timing or LockTiming()
        takeover = _TakeoverPolicy(clock, timing.stale_after_s, on_wait)
        while True:
            requested_at = clock()
            current = state.get_tagged(LOCK_NAME)
            if current is None:
                owner = LockOwner.current_process(_find_last_run_seq(state) + 1)
                tag = state.put_if_absent(LOCK_NAME, encode_owner(owner))
            else:
                previous = decode_owner(current[0], state)
                if not takeover.is_allowed(previous):
                    sleep(timing.heartbeat_s)
                    continue
                owner = LockOwner.current_process(previous.run_seq + 1)
                tag = state.put_if_match(LOCK_NAME, encode_owner(owner), current[1])
            if tag is not None:
                return cls(state, owner, tag, timing, clock, requested_at)

    def raise_run_seq(self, minimum: int) -> int:
        """Raise the number of this run to at least `minimum`, and return it.

        The versions of documents are run numbers, so a run must have a greater number than every
        run that has written its index: an adopted index, or the index of a state that was restored
        from a backup, may hold greater versions than the state has numbers.

        Raises:
            SetupError: The lock was lost, or the state cannot be written.
        """
        if minimum > self.run_seq:
            with self._changing:
                self.check()
                owner = replace(self._owner, run_seq=minimum)
                tag = self._replace_owner(owner)
                if tag is None:
                    self._lose(self._explain_loss())
                    self.check()
                else:
                    self._owner, self._tag, self.run_seq = owner, tag, minimum
        return self.run_seq

    def release(self) -> None:
        """Release the lock if this run still holds it; `claim.json` keeps the run's number."""
        if self._released.is_set():
            return
        self._released.set()
        if self.lost.is_set():
            return
        for thread in self._threads:
            thread.join(timeout=_LAST_HEARTBEAT_S)
        try:
            if self._replace_owner(replace(self._owner, held=False)) is None:
                log.warning(
                    "the lock of the state %s was taken over before this run released it",
                    self._state.uri,
                )
        except SetupError as error:
            log.warning("could not release the lock (%s); the next run takes it over", error)

    def check(self) -> None:
        """Raise `SetupError` if the lock was lost."""
        if self.lost.is_set():
            raise SetupError(self.reason)

    def __enter__(self) -> WriterLock:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def _send_heartbeats(self) -> None:
        while not self._released.wait(self._timing.heartbeat_s) and not self.lost.is_set():
            requested_at = self._clock()
            with self._changing:
                owner = replace(self._owner, beat=self._owner.beat + 1)
                try:
                    tag = self._replace_owner(owner)
                except SetupError as error:
                    log.warning("heartbeat failed: %s", error)
                    continue
                if tag is None:
                    self._lose(self._explain_loss())
                    return
                self._owner, self._tag, self._last_heartbeat = owner, tag, requested_at

    def _replace_owner(self, owner: LockOwner) -> str | None:
        """Write this process as the owner; return the new tag, or None if the lock was lost."""
        tag = self._state.put_if_match(LOCK_NAME, encode_owner(owner), self._tag)
        if tag is not None:
            return tag
        # An earlier heartbeat may have been written although its response was lost.
        current = self._state.get_tagged(LOCK_NAME)
        if current is None or decode_owner(current[0], self._state).owner != owner.owner:
            return None
        return self._state.put_if_match(LOCK_NAME, encode_owner(owner), current[1])

    def _watch_heartbeats(self) -> None:
        interval = min(1.0, self._timing.heartbeat_s)
        while not self._released.wait(interval) and not self.lost.is_set():
            elapsed = self._clock() - self._last_heartbeat
            if elapsed > self._timing.unreachable_s:
                self._lose(
                    f"the state {self._state.uri} could not be reached for {elapsed:.0f} s, so "
                    "another run may take over its lock"
                )

    def _lose(self, reason: str) -> None:
        self.reason = f"{reason}; this run stops, run again"
        self.lost.set()

    def _explain_loss(self) -> str:
        try:
            data = self._state.get(LOCK_NAME)
            if not data:
                return f"{LOCK_NAME} in the state {self._state.uri} was deleted"
            new_owner = str(decode_owner(data, self._state))
        except SetupError:
            new_owner = "another run"
        return f"the lock of the state {self._state.uri} was taken over by {new_owner}"


@dataclass
class _TakeoverPolicy:
    """Decide when the lock of another run may be taken over."""

    clock: Callable[[], float]
    stale_after_s: float
    on_wait: Callable[[str], None]
    _last_seen: tuple[str, int] | None = field(default=None, init=False)
    _seen_at: float = field(default=0.0, init=False)
    _has_warned: bool = field(default=False, init=False)

    def is_allowed(self, owner: LockOwner) -> bool:
        """Whether the owner released the lock, has ended, or sent no heartbeat for too long.

        Raises:
            SetupError: The owner runs on this host.
        """
        if not owner.held or owner.has_ended:
            return True
        if owner.is_local:
            raise StateInUseError(
                f"another raypipe writes to this state: {owner}; wait until it ends, stop it "
                f"(kill {owner.pid}), or set state.uri to another folder or prefix"
            )
        if self._last_seen != (owner.owner, owner.beat):
            self._last_seen, self._seen_at = (owner.owner, owner.beat), self.clock()
        if not self._has_warned:
            self._has_warned = True
            self.on_wait(
                f"waiting for {owner}, which holds the lock of the state; this run takes it over "
                f"after {self.stale_after_s:.0f} s without a heartbeat"
            )
        return self.clock() - self._seen_at >= self.stale_after_s


def _find_last_run_seq(state: State) -> int:
    """Return the highest run number in the state, for a state whose `claim.json` is missing."""
    matches = (
        re.search(r"(?:^|/)(?:part-(\d{8,})-|[0-9TZ]+-(\d{4,})/)", name)
        for folder in ("runs/", "processed/", "failures/", "documents/")
        for name in state.list(folder)
    )
    return max((int(match[1] or match[2]) for match in matches if match), default=0)
