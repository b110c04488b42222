"""What one process and the quota's actor say to each other: in batches, a few times a second.

A message to an actor costs both ends a millisecond or two. Hundreds of calls in flight would cost
a core if each asked and settled by itself.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import ActorUnavailableError, RayActorError

from raypipe.core.errors import SetupError
from raypipe.quota.broker import Refusal
from raypipe.quota.protocol import CallOutcome, CallRequest, Lease
from raypipe.quota.service import Batch, Reply, RunRegistration, Settled
from raypipe.quota.sessions import CallTally, cost_of

log = logging.getLogger(__name__)

PING_S = 2.0
"""Between two signs of life of a worker that holds leases; see `clients.DOUBT_S`."""
TRIES = 4
"""How often an actor is looked for, or made anew, before the run is given up."""
_LEAST = 0.2
"""Share of the pause that is kept even where somebody waits for a word."""
_IDLE_S = 10.0  # after which the thread ends


@dataclass(eq=False)
class _Ask:
    """A call that waits for its lease."""

    need: CallRequest
    answered: threading.Event = field(default_factory=threading.Event)
    answer: Lease | Refusal | SetupError | None = None

    def end(self, answer: Lease | Refusal | SetupError) -> None:
        self.answer = answer
        self.answered.set()


class QuotaBatchClient:
    """What of the permits belongs to this process: the handle, its leases, what it counted.

    One thread speaks with the actor; each batch is sent until it is known to have arrived. A new
    actor is told what the process counted, not what was said to the one before: each learns of
    each lease in exactly one of the two ways.

    Args:
        joining: The run.
        make: Finds or makes the actor.
    """

    def __init__(self, joining: RunRegistration, make: Callable[[], Any]) -> None:
        # Two of a process, unpickled twice, are two to the actor: each counts its own batches.
        self._name = f"{os.getpid()}-{uuid.uuid4().hex[:12]}"
        self._joining = joining
        self._make = make
        self._lock = threading.RLock()
        self._news = threading.Condition(self._lock)
        self._joins = threading.Lock()
        self._handle: Any = None
        self._life = 0
        self._tally = CallTally()
        self._held: dict[int, CallRequest] = {}
        self._asks: dict[int, _Ask] = {}
        self._last_ask = 0
        self._fresh: list[int] = []  # asks that the actor has not heard of
        self._settled: list[Settled] = []
        self._saved = 0
        self._batch: Batch | None = None  # sent, and not known to have arrived
        self._batches = 0
        self._talks = False
        self._hands_on = False

    def ask(self, need: CallRequest) -> Lease | Refusal:
        """Wait for a lease, or for why there is none.

        Raises:
            SetupError: The actor cannot be had.
        """
        ask = _Ask(need)
        with self._lock:
            self._last_ask += 1
            self._asks[self._last_ask] = ask
            self._fresh.append(self._last_ask)
            self._speak()
        ask.answered.wait()
        assert ask.answer is not None
        if isinstance(ask.answer, SetupError):
            raise ask.answer
        return ask.answer

    def settle(self, lease: Lease, spent: CallOutcome) -> None:
        """Count what a call came to, and tell it."""
        with self._lock:
            need = self._held.pop(lease.number)
            self._tally.count(spent, cost_of(self._joining.price, need, spent))
            handed_to = None if spent.throttled else self._hand_on(lease)
            self._settled.append(Settled(lease.number, need, spent, handed_to))
            self._speak()

    def _hand_on(self, lease: Lease) -> tuple[int, CallRequest] | None:
        """Give a lease to the call that waits longest; returns its number and need, if any does."""
        if not (self._hands_on and self._asks and lease.number > self._life):
            return None
        number = next(iter(self._asks))
        ask = self._asks.pop(number)
        if number in self._fresh:
            self._fresh.remove(number)
        self._held[lease.number] = ask.need
        ask.end(lease)
        return number, ask.need

    def count_cached_calls(self, calls: int) -> None:
        """Count answers from the cache, and tell it."""
        with self._lock:
            self._tally.counts["cached_calls"] += calls
            self._saved += calls
            self._speak()

    def joined(self) -> Any:
        """Return the handle of an actor that knows this process.

        Raises:
            RayActorError: It died meanwhile.
        """
        with self._joins:
            if self._handle is None:
                handle = self._make()
                with self._lock:  # nothing is counted between the count and its telling
                    life = ray.get(handle.join.remote(self._joining, self._tally, self._life))
                    if life != self._life:
                        self._batch, self._settled, self._saved = None, [], 0
                        self._fresh = list(self._asks)
                        self._hands_on = False
                    self._handle, self._life = handle, life
            return self._handle

    def forget(self, handle: Any) -> None:
        """Look for the actor again the next time."""
        with self._lock:
            if self._handle is handle:
                self._handle = None

    def _speak(self) -> None:
        if not self._talks:
            self._talks = True
            threading.Thread(target=self._talk, name="quota", daemon=True).start()
        self._news.notify()

    def _talk(self) -> None:
        failed = 0
        while self._anything():
            pause_s = 0.5 * failed
            try:
                pause_s = self._exchange()
                failed = 0
            except Exception as error:
                failed += 1
                if not ray.is_initialized():
                    return  # the process ends
                log.warning("the quota's actor cannot be reached (%s); trying again", error)
                if failed >= TRIES:
                    self._give_up()
            time.sleep(pause_s * _LEAST)
            with self._lock:
                self._news.wait_for(self._is_urgent, pause_s * (1 - _LEAST))

    def _is_urgent(self) -> bool:
        """Whether somebody waits for what there is to say: a call, or a lease that is free."""
        return bool(self._fresh) or any(one.handed_to is None for one in self._settled)

    def _anything(self) -> bool:
        """Wait until there is something to say; without that the thread ends."""
        with self._lock:
            since = time.monotonic()
            while not (self._asks or self._settled or self._saved or self._batch):
                if self._held:
                    # A sign of life is something to say, too.
                    return self._news.wait(PING_S) or True
                if time.monotonic() - since >= _IDLE_S:
                    self._talks = False
                    return False
                self._news.wait(_IDLE_S)
            return True

    def _exchange(self) -> float:
        """Say what there is to say and take the answers; returns seconds until the next time."""
        handle = self.joined()
        with self._lock:
            batch = self._batch = self._batch or self._taken()
        try:
            said = handle.exchange.remote(self._joining.run, self._name, batch)
            reply: Reply = ray.get(said)
        except (RayActorError, ActorUnavailableError):
            self.forget(handle)
            raise
        with self._lock:
            self._batch = None
            self._hands_on = reply.hands_on
            for number, answer in reply.answers.items():
                self._take(number, answer)
            return reply.pause_s

    def _take(self, number: int, answer: Lease | Refusal) -> None:
        ask = self._asks.pop(number, None)
        if ask is not None:
            if isinstance(answer, Lease):
                self._held[answer.number] = ask.need
            ask.end(answer)
        elif isinstance(answer, Lease):  # another's was handed to it meanwhile
            self._settled.append(Settled(answer.number, CallRequest(0, 0), CallOutcome()))

    def _taken(self) -> Batch:
        self._batches += 1
        asks = {number: self._asks[number].need for number in self._fresh}
        batch = Batch(self._batches, asks, self._settled, self._saved)
        self._fresh, self._settled, self._saved = [], [], 0
        return batch

    def _give_up(self) -> None:
        with self._lock:
            for ask in self._asks.values():
                ask.end(ends_again(f"run {self._joining.run}"))
            self._asks, self._fresh = {}, []


def ends_again(whose: str) -> SetupError:
    """Return the line about an actor that cannot be had."""
    return SetupError(
        f"the actor that keeps the quota of {whose} ends again and again; look at its log on Ray's "
        "dashboard, then run again"
    )
