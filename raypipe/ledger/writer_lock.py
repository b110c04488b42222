"""One writer: a claim on the state, held by a heartbeat, taken over from the dead.

The claim is one object, `claim.json`, changed by compare-and-swap alone. It outlives the run that
took it, for it keeps the number of the last run.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import TracebackType

from raypipe.core.errors import SetupError
from raypipe.ledger.lock_owner import LOCK_NAME, LockOwner, decode_owner, encode_owner
from raypipe.state.store import State

log = logging.getLogger(__name__)

_LAST_BEAT_S = 10.0  # to wait for a heartbeat under way; a stop must not take long


@dataclass(frozen=True)
class LockTiming:
    """How often, and how long, in seconds.

    A holder that cannot reach the state gives up before another may take over: `unreachable`
    counts from before its last good request, `still` from after the waiter saw that one.

    Args:
        beat: Between two heartbeats, and between two looks of a waiter.
        unreachable: Without a heartbeat after which the holder counts the claim as lost.
        still: Without a heartbeat after which another host takes over.
    """

    beat: float = 5.0
    unreachable: float = 45.0
    still: float = 60.0


class WriterLock:
    """A claim that is held; `WriterLock.take` makes it. Leaving its context releases it.

    Attributes:
        run_seq: This run's number, greater than that of every earlier run.
        lost: Set once the claim is another's or may be; the run must then stop.
        reason: Why it was lost, for a person.
    """

    def __init__(
        self,
        state: State,
        holder: LockOwner,
        tag: str,
        pace: LockTiming,
        clock: Callable[[], float],
    ) -> None:
        self.run_seq = holder.run_seq
        self.lost = threading.Event()
        self.reason = ""
        self._state, self._holder, self._tag = state, holder, tag
        self._pace, self._clock = pace, clock
        self._last_beat = clock()
        self._over = threading.Event()
        # Two threads: a heartbeat that hangs in the network must not hide that time runs out.
        self._threads = [
            threading.Thread(target=run, name=f"raypipe-claim-{run.__name__}", daemon=True)
            for run in (self._beat, self._watch)
        ]

    @classmethod
    def take(
        cls,
        state: State,
        *,
        on_wait: Callable[[str], None] = log.warning,
        pace: LockTiming | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> WriterLock:
        """Take the claim, waiting for a run on another host to end or to stand still.

        Args:
            state: Where the ledger is.
            on_wait: Told once, in one line, whom we wait for.
            pace: Seconds; for tests.
            clock: Monotonic seconds; for tests.
            sleep: How to wait; it may raise to give up.

        Raises:
            SetupError: A living process of this host holds it, or `claim.json` is damaged.
            StateError: The state cannot be reached.
        """
        pace = pace or LockTiming()
        patience = _Patience(clock, pace.still, on_wait)
        while True:
            began = clock()
            found = state.get_tagged(LOCK_NAME)
            if found is None:
                mine = LockOwner.me(_last_run(state) + 1)
                tag = state.put_if_absent(LOCK_NAME, encode_owner(mine))
            else:
                other = decode_owner(found[0], state)
                if not patience.over(other):
                    sleep(pace.beat)
                    continue
                mine = LockOwner.me(other.run_seq + 1)
                tag = state.put_if_match(LOCK_NAME, encode_owner(mine), found[1])
            if tag is not None:
                claim = cls(state, mine, tag, pace, clock)
                claim._last_beat = began
                for thread in claim._threads:
                    thread.start()
                return claim

    def release(self) -> None:
        """Free the claim if it is still ours; the run's number stays in it."""
        if self._over.is_set():
            return
        self._over.set()
        if self.lost.is_set():
            return
        for thread in self._threads:
            thread.join(timeout=_LAST_BEAT_S)
        try:
            if self._swap(replace(self._holder, held=False)) is None:
                log.warning("the claim on %s was another's before we let go", self._state.uri)
        except SetupError as error:
            log.warning("could not release the claim (%s); the next run takes it over", error)

    def check(self) -> None:
        """Raise `SetupError` if the claim was lost."""
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

    def _beat(self) -> None:
        while not self._over.wait(self._pace.beat) and not self.lost.is_set():
            began = self._clock()
            holder = replace(self._holder, beat=self._holder.beat + 1)
            try:
                tag = self._swap(holder)
            except SetupError as error:
                log.warning("no heartbeat: %s", error)
                continue
            if tag is None:
                self._lose(f"the claim on {self._state.uri} was taken by {self._taker()}")
                return
            self._holder, self._tag, self._last_beat = holder, tag, began

    def _swap(self, holder: LockOwner) -> str | None:
        tag = self._state.put_if_match(LOCK_NAME, encode_owner(holder), self._tag)
        if tag is not None:
            return tag
        # A beat of unknown outcome may have arrived after all: then what stands there is ours.
        found = self._state.get_tagged(LOCK_NAME)
        if found is None or decode_owner(found[0], self._state).owner != holder.owner:
            return None
        return self._state.put_if_match(LOCK_NAME, encode_owner(holder), found[1])

    def _watch(self) -> None:
        while not self._over.wait(min(1.0, self._pace.beat)) and not self.lost.is_set():
            silent = self._clock() - self._last_beat
            if silent > self._pace.unreachable:
                self._lose(
                    f"the state {self._state.uri} could not be reached for {silent:.0f} s, and "
                    "another run may take over"
                )

    def _lose(self, reason: str) -> None:
        self.reason = f"{reason}; this run stops, run again"
        self.lost.set()

    def _taker(self) -> str:
        try:
            found = self._state.get(LOCK_NAME)
            return (
                str(decode_owner(found, self._state)) if found else "nobody: claim.json was deleted"
            )
        except SetupError:
            return "another run"


@dataclass
class _Patience:
    """Decides when the claim of another may be taken."""

    clock: Callable[[], float]
    still: float
    on_wait: Callable[[str], None]
    _seen: tuple[str, int] | None = field(default=None, init=False)
    _since: float = field(default=0.0, init=False)
    _told: bool = field(default=False, init=False)

    def over(self, other: LockOwner) -> bool:
        """Whether this holder has let go, is gone, or has stood still long enough.

        Raises:
            SetupError: It lives on this host.
        """
        if not other.held or other.gone:
            return True
        if other.here:
            raise SetupError(
                f"another raypipe is at work on this state: {other}; wait until it ends, stop "
                f"it (kill {other.pid}), or set state.uri to another place"
            )
        if self._seen != (other.owner, other.beat):
            self._seen, self._since = (other.owner, other.beat), self.clock()
        if not self._told:
            self._told = True
            self.on_wait(
                f"waiting for {other}: it holds the state; it is taken over once its heartbeat "
                f"has stood still for {self.still:.0f} s"
            )
        return self.clock() - self._since >= self.still


def _last_run(state: State) -> int:
    """Return the highest run number that the state knows of though its claim is gone."""
    found = (
        re.search(r"(?:^|/)(?:part-(\d{8,})-|[0-9TZ]+-(\d{4,})/)", name)
        for folder in ("runs/", "processed/", "failures/", "documents/")
        for name in state.list(folder)
    )
    return max((int(match[1] or match[2]) for match in found if match), default=0)
