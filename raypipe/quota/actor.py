"""The broker as one Ray actor per pool, found by name from every run and worker of a cluster.

The actor is detached: a run that shares it must not lose it when the run that started it ends. It
ends by itself when it is unused. Ray does not restart it. A process that finds it dead starts a new
actor of the same name, with empty buckets, and every process sends the new actor its counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayActorError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raypipe.core.options import QuotaOptions
from raypipe.quota.messages import RunRegistration
from raypipe.quota.protocol import NAMESPACE
from raypipe.quota.service import QuotaService
from raypipe.quota.service_client import QuotaServiceClient
from raypipe.quota.service_handle import ServiceClosedError, ServiceDiedError
from raypipe.quota.sessions import DEAD_AFTER_S

__all__ = ["QuotaActor", "RemoteQuotaClient", "RunRegistration", "broker_for"]

_MAX_CONCURRENCY = 10_000
"""Processes that may exchange batches at the same time."""


class QuotaActor(QuotaService):
    """The quota service in a process of Ray."""

    def end(self) -> None:
        """End the process, because the service is unused."""
        ray.kill(ray.get_runtime_context().current_actor)


@dataclass(frozen=True)
class ActorHandle:
    """The handle of a running `QuotaActor`."""

    actor: Any

    def call(self, method: str, *args: Any) -> Any:
        """Call a method of the actor and return its result.

        Raises:
            ServiceDiedError: The actor died.
            ServiceClosedError: Ray was shut down.
        """
        try:
            return ray.get(getattr(self.actor, method).remote(*args))
        except RayActorError as error:
            raise _classify(error) from error
        except Exception:
            if not ray.is_initialized():
                raise ServiceClosedError from None
            raise


@dataclass(frozen=True)
class RemoteQuotaClient(QuotaServiceClient):
    """The client of a pool's actor.

    Args:
        node_id: Id of the driver's node. The actor runs there, so that it does not end with a
            worker's node.
    """

    node_id: str = ""

    def get_or_start_service(self) -> ActorHandle:
        """Find the pool's actor by its name, or start it on the driver's node."""
        if not ray.is_initialized():
            raise ServiceClosedError
        remote: Any = ray.remote(QuotaActor)
        actor = remote.options(
            name=f"raypipe-quota:{self.pool}",
            namespace=NAMESPACE,
            get_if_exists=True,
            lifetime="detached",
            num_cpus=0,
            max_restarts=0,
            max_concurrency=_MAX_CONCURRENCY,
            scheduling_strategy=NodeAffinitySchedulingStrategy(self.node_id, soft=False),
        ).remote(self.options, self.registration.price.burndown, self.dead_after_s)
        return ActorHandle(actor)


def broker_for(
    pool: str,
    options: QuotaOptions,
    registration: RunRegistration,
    dead_after_s: float = DEAD_AFTER_S,
) -> RemoteQuotaClient:
    """Return a run's client of a pool; find the pool's actor, or start it on this node.

    Args:
        pool: Name of the pool: account, region and model.
        options: The quota; it applies from now on to all runs that share the pool.
        registration: The run.
        dead_after_s: Seconds without a heartbeat after which a worker is dead.

    Raises:
        SetupError: The actor cannot be started.
    """
    node_id = str(ray.get_runtime_context().get_node_id())
    client = RemoteQuotaClient(pool, options, registration, dead_after_s, node_id)
    client.configure()
    return client


def _classify(error: RayActorError) -> Exception:
    return ServiceDiedError(str(error)) if ray.is_initialized() else ServiceClosedError()
