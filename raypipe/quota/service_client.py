"""The client of a pool's quota service, for a run and its workers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

from raypipe.core.errors import BookLeftError, SetupError
from raypipe.core.options import QuotaOptions
from raypipe.core.per_process import PerProcess
from raypipe.core.retry import attempts
from raypipe.core.stop import StopCheck, never_stopped
from raypipe.quota.batch_client import TRIES, QuotaBatchClient, service_error
from raypipe.quota.messages import RunRegistration
from raypipe.quota.protocol import CallOutcome, CallRequest, Lease, Totals
from raypipe.quota.service_handle import ServiceDiedError, ServiceHandle
from raypipe.quota.sessions import DEAD_AFTER_S


@dataclass(frozen=True)
class QuotaServiceClient(ABC):
    """The quota client of a run and its workers; pickles to a few bytes.

    Args:
        pool: Name of the pool.
        options: The quota, for the process that starts the service.
        registration: The run.
        dead_after_s: Seconds without a heartbeat after which a worker is dead.
    """

    pool: str
    options: QuotaOptions
    registration: RunRegistration
    dead_after_s: float = DEAD_AFTER_S
    _batch_client: PerProcess[QuotaBatchClient] = field(
        default_factory=PerProcess, init=False, repr=False, compare=False
    )

    @abstractmethod
    def get_or_start_service(self) -> ServiceHandle:
        """Return the pool's running service; start it if there is none."""

    def acquire(self, request: CallRequest, stop_check: StopCheck = never_stopped) -> Lease:
        """Wait for permission to make one call.

        Args:
            request: The most that the call can take.
            stop_check: Not asked: `stop` makes the broker end the wait of all workers.

        Raises:
            BookLeftError: The run stops, or the budget does not cover the call.
            SetupError: The quota can never hold the call, or the service cannot be started.
        """
        while True:
            answer = self._client().acquire(request)
            if isinstance(answer, Lease):
                return answer
            if answer.kind == "setup":
                raise SetupError(answer.reason)
            if answer.kind != "retry":
                raise BookLeftError(answer.reason, stops=answer.kind == "budget")

    def settle(self, lease: Lease, outcome: CallOutcome) -> None:
        """Give back a lease. The outcome reaches the service or its successor."""
        self._client().settle(lease, outcome)

    def count_cached_calls(self, calls: int) -> None:
        """Count answers that came from the cache."""
        self._client().count_cached_calls(calls)

    def stop(self, reason: str) -> None:
        """Give the run no more leases; waiting calls end with `BookLeftError`."""
        self._call_service("stop", reason)

    def totals(self) -> Totals:
        """Return the counts so far."""
        totals: Totals = self._call_service("totals")
        return totals

    def configure(self) -> None:
        """Apply these options to all runs that share the pool.

        Raises:
            SetupError: The service cannot be started.
        """
        self._call_service("configure", self.options, self.registration.price.burndown)

    def _client(self) -> QuotaBatchClient:
        return self._batch_client.get(
            lambda: QuotaBatchClient(self.registration, self.get_or_start_service)
        )

    def _call_service(self, method: str, *args: Any) -> Any:
        """Call a method of `QuotaService` for this run; start a new service if it died."""
        client = self._client()
        for _ in attempts(tries=TRIES):
            service = None
            try:
                service = client.service()
                return service.call(method, self.registration.run_id, *args)
            except ServiceDiedError:
                client.forget_service(service)
        raise service_error(self.pool)
