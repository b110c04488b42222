"""The broker as one Ray actor a pool, found by name from every run and worker of a cluster.

The actor is detached, for another run that shares it must not lose it when the run that made it
ends; it ends by itself when nobody uses it. It is not restarted by Ray: whoever finds it dead makes
another of the same name, whose buckets are empty, and each process tells that one what it counted.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import ActorUnavailableError, RayActorError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raypipe.book import LeftError
from raypipe.errors import SetupError
from raypipe.options import QuotaOptions
from raypipe.quota import NAMESPACE, Lease, Need, Spent, Totals
from raypipe.quota.clients import DEAD_S, Tally, cost_of, worker_id
from raypipe.quota.service import Joining, QuotaService

__all__ = ["Joining", "QuotaActor", "RemotePermits", "broker_for"]

log = logging.getLogger(__name__)

PING_S = 2.0
"""Between two signs of life of a worker that waits or holds leases; see `clients.DOUBT_S`."""
TRIES = 4
"""How often a call looks for the actor, or makes it anew, before the run is given up."""
_CONCURRENCY = 10_000  # calls that may wait for a lease at once

_Word = tuple[str, tuple[Any, ...]]  # a method of the actor, and its arguments


class QuotaActor(QuotaService):
    """The service, in a process that Ray ends."""

    def end(self) -> None:
        """End the process; nobody uses it."""
        ray.kill(ray.get_runtime_context().current_actor)


@dataclass(frozen=True)
class RemotePermits:
    """A pool's quota as a run and its workers see it; pickles to a few bytes.

    Args:
        pool: The pool's name.
        options: The quota, for who makes the actor.
        joining: What the run brings.
        node: Id of the driver's node, where the actor runs: it must not go with a worker's node.
        dead_s: Seconds without a sign of life after which a worker is dead.
    """

    pool: str
    options: QuotaOptions
    joining: Joining
    node: str
    dead_s: float = DEAD_S
    _here: _Here = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Make what belongs to this process."""
        object.__setattr__(self, "_here", _Here(self.joining, self._made))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the settings; threads and handles belong to this process."""
        return RemotePermits, (self.pool, self.options, self.joining, self.node, self.dead_s)

    def acquire(self, need: Need) -> Lease:
        """Wait for leave to make one call.

        Raises:
            LeftError: The run stops, or the budget holds no such call.
            SetupError: No such call can ever be made, or the actor cannot be had.
        """
        with self._here.waiting():
            while True:
                answer = self._asked("acquire", worker_id(), need)
                if isinstance(answer, Lease):
                    self._here.hold(answer, need)
                    return answer
                if answer.kind == "setup":
                    raise SetupError(answer.reason)
                if answer.kind != "again":
                    raise LeftError(answer.reason, stops=answer.kind == "budget")

    def settle(self, lease: Lease, spent: Spent) -> None:
        """Give back what a call did not take; it arrives, or the actor's heir is told of it."""
        self._here.settle(lease, spent)

    def saved(self, calls: int) -> None:
        """Count answers that came from the cache."""
        self._here.saved(calls)

    def stop(self, reason: str) -> None:
        """Give the run no more leases; calls that wait for one are left."""
        self._asked("stop", reason)

    def totals(self) -> Totals:
        """Return the numbers so far."""
        totals: Totals = self._asked("totals")
        return totals

    def configure(self) -> None:
        """Let these options hold for all who share the pool.

        Raises:
            SetupError: The actor cannot be had.
        """
        self._asked("configure", self.options, self.joining.price.burndown)

    def _asked(self, method: str, *args: Any) -> Any:
        for attempt in range(TRIES):
            handle = None
            try:
                handle = self._here.joined()
                return ray.get(getattr(handle, method).remote(self.joining.run, *args))
            except RayActorError:
                self._here.forget(handle)
                time.sleep(0.5 * attempt)
        raise SetupError(
            f"the actor that keeps the quota of {self.pool} ends again and again; look at its log "
            "on Ray's dashboard, then run again"
        )

    def _made(self) -> Any:
        """Return the actor's handle, found or made."""
        remote: Any = ray.remote(QuotaActor)
        return remote.options(
            name=f"raypipe-quota:{self.pool}",
            namespace=NAMESPACE,
            get_if_exists=True,
            lifetime="detached",
            num_cpus=0,
            max_restarts=0,
            max_concurrency=_CONCURRENCY,
            scheduling_strategy=NodeAffinitySchedulingStrategy(self.node, soft=False),
        ).remote(self.options, self.joining.price.burndown, self.dead_s)


class _Here:
    """What of the permits belongs to this process: the handle, its leases, what it counted.

    A settled lease is counted and sent under one lock, and so is an actor joined and told the
    count: so each actor learns of each lease in exactly one of the two ways.

    Args:
        joining: The run.
        make: Finds or makes the actor.
    """

    def __init__(self, joining: Joining, make: Callable[[], Any]) -> None:
        self._joining = joining
        self._make = make
        self._lock = threading.RLock()
        self._handle: Any = None
        self._life = 0
        self._tally = Tally()
        self._waiting = 0
        self._held: dict[int, Need] = {}
        self._unsent: list[_Word] = []
        self._sent: dict[Any, _Word] = {}  # and not known to have arrived
        self._beats = False

    def joined(self) -> Any:
        """Return the handle of an actor that knows this process.

        Raises:
            RayActorError: It died meanwhile.
        """
        with self._lock:
            if self._handle is None:
                handle = self._make()
                life = ray.get(handle.join.remote(self._joining, self._tally, self._life))
                unsent, self._unsent = self._unsent, []
                self._handle = handle
                if life == self._life:
                    self._tell(*unsent)  # a new one was told just now, with the count
                self._life = life
            return self._handle

    def forget(self, handle: Any) -> None:
        """Look for the actor again the next time."""
        with self._lock:
            if self._handle is handle:
                self._handle = None

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Give signs of life while a call waits for its lease."""
        with self._lock:
            self._waiting += 1
            if not self._beats:
                self._beats = True
                threading.Thread(target=self._beat, name="quota-beat", daemon=True).start()
        try:
            yield
        finally:
            with self._lock:
                self._waiting -= 1

    def hold(self, lease: Lease, need: Need) -> None:
        """Note a lease; signs of life are given until it is settled."""
        with self._lock:
            self._held[lease.number] = need

    def settle(self, lease: Lease, spent: Spent) -> None:
        """Count what a call came to, and tell it."""
        with self._lock:
            need = self._held.pop(lease.number)
            self._tally.count(spent, cost_of(self._joining.price, need, spent))
            self._tell(("settle", (self._joining.run, lease.number, need, spent)))

    def saved(self, calls: int) -> None:
        """Count answers from the cache, and tell it."""
        with self._lock:
            self._tally.counts["cached_calls"] += calls
            self._tell(("saved", (self._joining.run, calls)))
            if self._handle is None:
                self.joined()

    def _tell(self, *words: _Word) -> None:
        """Send what nobody waits for, or keep it until there is an actor."""
        if self._handle is None:
            self._unsent += words
            return
        for method, args in words:
            self._sent[getattr(self._handle, method).remote(*args)] = method, args

    def _beat(self) -> None:
        while True:
            time.sleep(PING_S)
            with self._lock:
                if not (self._waiting or self._held or self._sent or self._unsent):
                    self._beats = False
                    return
            try:
                self._look()
            except Exception as error:
                with self._lock:
                    self._handle = None
                if not ray.is_initialized():
                    return  # the process ends
                log.warning("the quota's actor cannot be reached (%s); trying again", error)

    def _look(self) -> None:
        """Give a sign of life, and see to what was sent."""
        handle = self.joined()
        with self._lock:
            handle.seen.remote(worker_id())
            if not self._sent:
                return
            arrived, _ = ray.wait(list(self._sent), num_returns=len(self._sent), timeout=0)
            for ref in arrived:
                word = self._sent.pop(ref)
                try:
                    ray.get(ref)
                except ActorUnavailableError:  # it may live, and not have heard
                    self.forget(handle)
                    self._unsent.append(word)
                except RayActorError:
                    self.forget(handle)  # the next one hears the count


def broker_for(
    pool: str, options: QuotaOptions, joining: Joining, dead_s: float = DEAD_S
) -> RemotePermits:
    """Return a pool's permits for a run; its actor is found, or made on this node.

    Args:
        pool: The pool's name: account, region, model.
        options: The quota; from now on it holds for all who share the pool.
        joining: What the run brings.
        dead_s: Seconds without a sign of life after which a worker is dead.

    Raises:
        SetupError: The actor does not start.
    """
    node = str(ray.get_runtime_context().get_node_id())
    permits = RemotePermits(pool, options, joining, node, dead_s)
    permits.configure()
    return permits
