"""The broker in a thread of this process, one per pool, shared by the runs of the process."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass
from typing import Any

from raypipe.core.options import QuotaOptions
from raypipe.quota.messages import RunRegistration
from raypipe.quota.service import QuotaService
from raypipe.quota.service_client import QuotaServiceClient
from raypipe.quota.service_handle import ServiceDiedError

_services: dict[str, ServiceThread] = {}  # by pool
_lock = threading.Lock()


class ServiceThread(QuotaService):
    """The quota service on the event loop of a thread; ends by itself when it is unused.

    Args:
        pool: Name of the pool.
        options: The quota.
        burndown: Quota tokens per output token.
        dead_after_s: Seconds without a heartbeat after which a client is dead.
    """

    def __init__(
        self, pool: str, options: QuotaOptions, burndown: float, dead_after_s: float
    ) -> None:
        super().__init__(options, burndown, dead_after_s)
        self._pool = pool
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._run, name=f"quota-{pool}", daemon=True).start()

    def call(self, method: str, *args: Any) -> Any:
        """Call a method of the service and return its result.

        Raises:
            ServiceDiedError: The service has ended.
        """
        coroutine = getattr(self, method)(*args)
        with _lock:
            if _services.get(self._pool) is not self:
                coroutine.close()
                raise ServiceDiedError(f"the quota service of {self._pool} has ended")
            future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        return future.result()

    def end(self) -> None:
        """End the thread, because the service is unused."""
        with _lock:
            _services.pop(self._pool, None)
        self._loop.stop()

    def _run(self) -> None:
        self._loop.run_forever()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.close()


@dataclass(frozen=True)
class InProcessQuotaClient(QuotaServiceClient):
    """The client of a pool's service in this process."""

    def get_or_start_service(self) -> ServiceThread:
        """Find the pool's service in this process, or start it."""
        with _lock:
            if self.pool not in _services:
                _services[self.pool] = ServiceThread(
                    self.pool, self.options, self.registration.price.burndown, self.dead_after_s
                )
            return _services[self.pool]


def connect_in_process(
    pool: str, options: QuotaOptions, registration: RunRegistration
) -> InProcessQuotaClient:
    """Return a run's client of a pool; start the pool's service if there is none.

    Args:
        pool: Name of the pool: account, region and model.
        options: The quota; it applies from now on to all runs that share the pool.
        registration: The run.
    """
    client = InProcessQuotaClient(pool, options, registration)
    client.configure()
    return client
