"""The broker as one Ray actor per pool, found by name from every run and worker of a cluster.

The actor is detached: a run that shares it must not lose it when the run that started it ends. It
ends by itself when it is unused. Ray does not restart it. A process that finds it dead starts a new
actor of the same name, with empty buckets, and every process sends the new actor its counts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import RayActorError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raypipe.core.errors import BookLeftError, SetupError
from raypipe.core.options import QuotaOptions
from raypipe.core.per_process import PerProcess
from raypipe.core.retry import attempts
from raypipe.core.stop import StopCheck, never_stopped
from raypipe.quota.batch_client import TRIES, QuotaBatchClient, actor_error
from raypipe.quota.messages import RunRegistration
from raypipe.quota.protocol import NAMESPACE, CallOutcome, CallRequest, Lease, Totals
from raypipe.quota.service import QuotaService
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
class RemoteQuotaClient:
    """The quota client of a run and its workers; pickles to a few bytes.

    Args:
        pool: Name of the pool.
        options: The quota, for the process that starts the actor.
        registration: The run.
        node_id: Id of the driver's node. The actor runs there, so that it does not end with a
            worker's node.
        dead_after_s: Seconds without a heartbeat after which a worker is dead.
    """

    pool: str
    options: QuotaOptions
    registration: RunRegistration
    node_id: str
    dead_after_s: float = DEAD_AFTER_S
    _batch_client: PerProcess[QuotaBatchClient] = field(
        default_factory=PerProcess, init=False, repr=False, compare=False
    )

    def acquire(self, request: CallRequest, stop_check: StopCheck = never_stopped) -> Lease:
        """Wait for permission to make one call.

        Args:
            request: The most that the call can take.
            stop_check: Not asked: `stop` makes the broker end the wait of all workers.

        Raises:
            BookLeftError: The run stops, or the budget does not cover the call.
            SetupError: The quota can never hold the call, or the actor cannot be started.
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
        """Give back a lease. The outcome reaches the actor or its successor."""
        self._client().settle(lease, outcome)

    def count_cached_calls(self, calls: int) -> None:
        """Count answers that came from the cache."""
        self._client().count_cached_calls(calls)

    def stop(self, reason: str) -> None:
        """Give the run no more leases; waiting calls end with `BookLeftError`."""
        self._call_actor("stop", reason)

    def totals(self) -> Totals:
        """Return the counts so far."""
        totals: Totals = self._call_actor("totals")
        return totals

    def configure(self) -> None:
        """Apply these options to all runs that share the pool.

        Raises:
            SetupError: The actor cannot be started.
        """
        self._call_actor("configure", self.options, self.registration.price.burndown)

    def _client(self) -> QuotaBatchClient:
        return self._batch_client.get(
            lambda: QuotaBatchClient(self.registration, self._get_or_start_actor)
        )

    def _call_actor(self, method: str, *args: Any) -> Any:
        """Call a method of `QuotaService` for this run; start a new actor if it died."""
        client = self._client()
        for _ in attempts(tries=TRIES):
            actor = None
            try:
                actor = client.actor()
                return ray.get(getattr(actor, method).remote(self.registration.run_id, *args))
            except RayActorError:
                client.forget_actor(actor)
        raise actor_error(self.pool)

    def _get_or_start_actor(self) -> Any:
        remote: Any = ray.remote(QuotaActor)
        return remote.options(
            name=f"raypipe-quota:{self.pool}",
            namespace=NAMESPACE,
            get_if_exists=True,
            lifetime="detached",
            num_cpus=0,
            max_restarts=0,
            max_concurrency=_MAX_CONCURRENCY,
            scheduling_strategy=NodeAffinitySchedulingStrategy(self.node_id, soft=False),
        ).remote(self.options, self.registration.price.burndown, self.dead_after_s)


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
    client = RemoteQuotaClient(pool, options, registration, node_id, dead_after_s)
    client.configure()
    return client
