"""One actor for a run on a private Ray: the run's coordinator, and the quotas of its models.

On a shared cluster, the quota of a pool is an actor that all runs find by its name, see
`raypipe.quota.actor`. A Ray that serves a single run saves that process.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from raypipe.coordination.run_coordinator import RunCoordinator
from raypipe.core.options import QuotaOptions
from raypipe.quota.actor import ActorHandle
from raypipe.quota.messages import RunRegistration
from raypipe.quota.service import QuotaService
from raypipe.quota.service_client import QuotaServiceClient

MAX_CONCURRENCY = 10_000
"""Calls that the actor has at the same time; all of them run on one event loop."""


@dataclass
class RunServices(RunCoordinator):
    """The run's coordinator, with a quota service for each pool."""

    _quotas: dict[str, _PoolService] = field(default_factory=dict)

    async def call_quota(
        self,
        pool: str,
        options: QuotaOptions,
        burndown: float,
        dead_after_s: float,
        method: str,
        *args: Any,
    ) -> Any:
        """Call a method of a pool's service and return its result; create the service first.

        Args:
            pool: Name of the pool.
            options: The quota, for a new service.
            burndown: Quota tokens per output token, for a new service.
            dead_after_s: Seconds without a heartbeat after which a worker is dead.
            method: Name of the method of `QuotaService`.
            args: Its arguments.
        """
        if pool not in self._quotas:
            self._quotas[pool] = _PoolService(options, burndown, dead_after_s)
        return await getattr(self._quotas[pool], method)(*args)


class _PoolService(QuotaService):
    """The quota service of a pool; it lives as long as the actor."""

    def end(self) -> None:
        """Stay: the actor ends with the run."""


@dataclass(frozen=True)
class PoolHandle:
    """The quota service of a pool in the actor of the run.

    Args:
        client: Which pool, and its quota.
    """

    client: RunQuotaClient

    def call(self, method: str, *args: Any) -> Any:
        """Call a method of the service and return its result.

        Raises:
            ServiceDiedError: The actor died.
            ServiceClosedError: Ray was shut down.
        """
        client = self.client
        pool = (client.pool, client.options, client.registration.price.burndown)
        return ActorHandle(client.actor).call(
            "call_quota", *pool, client.dead_after_s, method, *args
        )


@dataclass(frozen=True)
class RunQuotaClient(QuotaServiceClient):
    """The quota client of a run and its workers, for the services in the actor of the run.

    Args:
        actor: Ray's handle of the `RunServices` actor.
    """

    actor: Any = None

    def get_or_start_service(self) -> PoolHandle:
        """Return the pool's service; the first call creates it."""
        return PoolHandle(self)


def connect_quota_of(actor: Any) -> Callable[[str, QuotaOptions, RunRegistration], RunQuotaClient]:
    """Return the function that connects a run to the quotas in its actor.

    Args:
        actor: Ray's handle of the `RunServices` actor.
    """

    def connect(pool: str, options: QuotaOptions, registration: RunRegistration) -> RunQuotaClient:
        # Not configured: the service is new, and the driver need not wait for the actor's start.
        return RunQuotaClient(pool, options, registration, actor=actor)

    return connect
