"""The connection of one process to the quota service: batches, a few times a second.

A message to a Ray actor costs both ends a millisecond or two. With hundreds of calls in flight, a
message per lease and settlement would cost a core.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from weakref import WeakSet

from raypipe.core.errors import SetupError
from raypipe.core.retry import attempts
from raypipe.quota.messages import Batch, Reply, RunRegistration, Settlement
from raypipe.quota.protocol import CallOutcome, CallRequest, Lease
from raypipe.quota.service_handle import ServiceClosedError, ServiceDiedError, ServiceHandle
from raypipe.quota.sessions import CallTally, cost_of
from raypipe.quota.waiting_calls import Refusal

log = logging.getLogger(__name__)

HEARTBEAT_S = 2.0
"""Seconds between two heartbeats of a process that holds leases; `sessions.DOUBT_AFTER_S` is
longer."""
TRIES = 4
"""How often to look for the service, or to start a new service, before the run is given up."""
_PAUSE_AFTER_FAILURE_S = 2.0
_MIN_PAUSE_SHARE = 0.2
"""Share of the pause between two batches that is kept even if a call waits for a lease."""
_SETTLE_POLL_S = 0.005
_IDLE_S = 10.0
"""The thread ends after this many seconds without anything to send."""


@dataclass(eq=False)
class _WaitingThread:
    """A thread that waits for the lease of its call."""

    request: CallRequest
    is_answered: threading.Event = field(default_factory=threading.Event)
    answer: Lease | Refusal | SetupError | None = None

    def set_answer(self, answer: Lease | Refusal | SetupError) -> None:
        """Wake the thread with an answer."""
        self.answer = answer
        self.is_answered.set()


class QuotaBatchClient:
    """What a process knows of a pool: the service's handle, its leases and its counts.

    One thread exchanges batches with the service. A batch is sent again until it is known to have
    arrived. A new service gets the process's counts instead of the batches that the old service
    got, so that each service learns of every lease in exactly one of the two ways.

    Args:
        registration: The run.
        get_or_start_service: Finds the pool's service or starts it; returns its handle.
    """

    def __init__(
        self, registration: RunRegistration, get_or_start_service: Callable[[], ServiceHandle]
    ) -> None:
        # Two clients in one process, unpickled twice, number their batches separately, so they
        # need different names.
        self._name = f"{os.getpid()}-{uuid.uuid4().hex[:12]}"
        self._registration = registration
        self._get_or_start_service = get_or_start_service
        self._lock = threading.RLock()
        self._news = threading.Condition(self._lock)
        self._registering = threading.Lock()
        self._service: ServiceHandle | None = None
        self._epoch = 0
        self._tally = CallTally()
        self._held: dict[int, CallRequest] = {}  # by number of the lease
        self._waiting: dict[int, _WaitingThread] = {}  # by number of the request
        self._last_request = 0
        self._unsent: list[int] = []  # requests that are in no batch yet
        self._settlements: list[Settlement] = []
        self._cached_calls = 0
        self._batch: Batch | None = None  # sent, and not known to have arrived
        self._last_batch = 0
        self._has_sender = False
        self._may_reuse_leases = False
        with _clients_lock:
            _clients.add(self)

    def is_settled(self, run_id: str) -> bool:
        """Whether no call of the run is in flight, and the service has all outcomes and counts."""
        with self._lock:
            unsent = self._settlements or self._cached_calls or self._batch
            return self._registration.run_id != run_id or not (self._held or unsent)

    def acquire(self, request: CallRequest) -> Lease | Refusal:
        """Wait for a lease or a refusal.

        Raises:
            SetupError: The service cannot be started.
        """
        thread = _WaitingThread(request)
        with self._lock:
            self._last_request += 1
            self._waiting[self._last_request] = thread
            self._unsent.append(self._last_request)
            self._notify_sender()
        thread.is_answered.wait()
        assert thread.answer is not None
        if isinstance(thread.answer, SetupError):
            raise thread.answer
        return thread.answer

    def settle(self, lease: Lease, outcome: CallOutcome) -> None:
        """Count the outcome of a call and report it."""
        with self._lock:
            request = self._held.pop(lease.number)
            self._tally.add(outcome, cost_of(self._registration.price, request, outcome))
            reused_by = None if outcome.throttled else self._reuse(lease)
            self._settlements.append(Settlement(lease.number, request, outcome, reused_by))
            self._notify_sender()

    def _reuse(self, lease: Lease) -> tuple[int, CallRequest] | None:
        """Give a lease to the call that waits longest; return its number and request, if any."""
        if not (self._may_reuse_leases and self._waiting and lease.number > self._epoch):
            return None
        number = next(iter(self._waiting))
        thread = self._waiting.pop(number)
        if number in self._unsent:
            self._unsent.remove(number)
        self._held[lease.number] = thread.request
        thread.set_answer(lease)
        return number, thread.request

    def count_cached_calls(self, calls: int) -> None:
        """Count answers from the cache and report them."""
        with self._lock:
            self._tally.counts["cached_calls"] += calls
            self._cached_calls += calls
            self._notify_sender()

    def service(self) -> ServiceHandle:
        """Return the handle of the service, with which this process is registered.

        Raises:
            ServiceDiedError: The service died meanwhile.
        """
        with self._registering:
            if self._service is None:
                service = self._get_or_start_service()
                with self._lock:  # nothing may be counted while the counts are on their way
                    epoch = service.call("register", self._registration, self._tally, self._epoch)
                    if epoch != self._epoch:
                        self._batch, self._settlements, self._cached_calls = None, [], 0
                        self._unsent = list(self._waiting)
                        self._may_reuse_leases = False
                    self._service, self._epoch = service, epoch
            return self._service

    def forget_service(self, service: ServiceHandle | None) -> None:
        """Look for the service again the next time."""
        with self._lock:
            if self._service is service:
                self._service = None

    def _notify_sender(self) -> None:
        if not self._has_sender:
            self._has_sender = True
            threading.Thread(target=self._exchange_batches, name="quota", daemon=True).start()
        self._news.notify()

    def _exchange_batches(self) -> None:
        while self._wait_for_news():
            pause_s = self._exchange_with_retries()
            if pause_s is None:
                return
            time.sleep(pause_s * _MIN_PAUSE_SHARE)
            with self._lock:
                self._news.wait_for(self._is_urgent, pause_s * (1 - _MIN_PAUSE_SHARE))

    def _is_urgent(self) -> bool:
        """Return whether a call waits for the next batch: for a lease, or for a freed one."""
        return bool(self._unsent) or any(
            settlement.reused_by is None for settlement in self._settlements
        )

    def _wait_for_news(self) -> bool:
        """Wait until there is something to send; return False if the thread should end."""
        with self._lock:
            idle_since = time.monotonic()
            while not (self._waiting or self._settlements or self._cached_calls or self._batch):
                if self._held:
                    # After a while, a heartbeat has to be sent.
                    return self._news.wait(HEARTBEAT_S) or True
                if time.monotonic() - idle_since >= _IDLE_S:
                    self._has_sender = False
                    return False
                self._news.wait(_IDLE_S)
            return True

    def _exchange_with_retries(self) -> float | None:
        """Exchange a batch; return the pause in seconds, or None if the process ends."""
        for attempt in attempts(tries=TRIES):
            try:
                return self._exchange()
            except ServiceClosedError:
                return None
            except Exception as error:
                log.warning(
                    "the quota service of run %s does not answer (try %d of %d): %s",
                    self._registration.run_id,
                    attempt.number,
                    TRIES,
                    error,
                )
        self._fail_waiting_calls()
        return _PAUSE_AFTER_FAILURE_S

    def _exchange(self) -> float:
        """Send the pending batch, apply the reply, return the delay until the next exchange."""
        service = self.service()
        with self._lock:
            batch = self._batch = self._batch or self._next_batch()
        try:
            reply: Reply = service.call("exchange", self._registration.run_id, self._name, batch)
        except ServiceDiedError:
            self.forget_service(service)
            raise
        with self._lock:
            self._batch = None
            self._may_reuse_leases = reply.may_reuse_leases
            for number, answer in reply.answers.items():
                self._receive(number, answer)
            return reply.pause_s

    def _receive(self, number: int, answer: Lease | Refusal) -> None:
        thread = self._waiting.pop(number, None)
        if thread is not None:
            if isinstance(answer, Lease):
                self._held[answer.number] = thread.request
            thread.set_answer(answer)
        elif isinstance(answer, Lease):  # the call has got a reused lease meanwhile
            unused = Settlement(answer.number, CallRequest(0, 0), CallOutcome())
            self._settlements.append(unused)

    def _next_batch(self) -> Batch:
        self._last_batch += 1
        requests = {number: self._waiting[number].request for number in self._unsent}
        batch = Batch(self._last_batch, requests, self._settlements, self._cached_calls)
        self._unsent, self._settlements, self._cached_calls = [], [], 0
        return batch

    def _fail_waiting_calls(self) -> None:
        with self._lock:
            for thread in self._waiting.values():
                thread.set_answer(service_error(f"run {self._registration.run_id}"))
            self._waiting, self._unsent = {}, []


_clients: WeakSet[QuotaBatchClient] = WeakSet()
_clients_lock = threading.Lock()


def wait_for_calls(run_id: str, timeout_s: float) -> None:
    """Wait until the calls of a run in this process have ended and are reported.

    Args:
        run_id: Id of the run.
        timeout_s: Longest wait in seconds.
    """
    deadline = time.monotonic() + timeout_s
    with _clients_lock:
        clients = list(_clients)
    while not all(client.is_settled(run_id) for client in clients):
        if time.monotonic() > deadline:
            return
        time.sleep(_SETTLE_POLL_S)


def service_error(owner: str) -> SetupError:
    """Return the error of a service that cannot be kept running.

    Args:
        owner: Name of the pool or the run whose quota the service keeps.
    """
    return SetupError(
        f"the service that keeps the quota of {owner} died {TRIES} times in a row; read its log "
        "on the Ray dashboard, then run again"
    )
