"""The broker as one Ray actor a pool, found by name from every run and worker of a cluster.

The actor is detached, for another run that shares it must not lose it when the run that made it
ends; it ends by itself when nobody uses it. It is not restarted by Ray: whoever finds it dead makes
another of the same name, whose buckets are empty, and each process tells that one what it counted.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import RayActorError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raypipe.core.errors import BookLeftError, SetupError
from raypipe.core.options import QuotaOptions
from raypipe.core.stop import StopCheck, never_stopped
from raypipe.quota.batch_client import TRIES, QuotaBatchClient, ends_again
from raypipe.quota.protocol import NAMESPACE, CallOutcome, CallRequest, Lease, Totals
from raypipe.quota.service import QuotaService, RunRegistration
from raypipe.quota.sessions import DEAD_S

__all__ = ["QuotaActor", "RemoteQuotaClient", "RunRegistration", "broker_for"]

_CONCURRENCY = 10_000  # processes that speak at once


class QuotaActor(QuotaService):
    """The service, in a process that Ray ends."""

    def end(self) -> None:
        """End the process; nobody uses it."""
        ray.kill(ray.get_runtime_context().current_actor)


@dataclass(frozen=True)
class RemoteQuotaClient:
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
    joining: RunRegistration
    node: str
    dead_s: float = DEAD_S
    _here: QuotaBatchClient = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Make what belongs to this process."""
        object.__setattr__(self, "_here", QuotaBatchClient(self.joining, self._made))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the settings; threads and handles belong to this process."""
        return RemoteQuotaClient, (self.pool, self.options, self.joining, self.node, self.dead_s)

    def acquire(self, request: CallRequest, stop_check: StopCheck = never_stopped) -> Lease:
        """Wait for permission to make one call.

        Args:
            request: The most that the call can take.
            stop_check: Not asked: `stop` makes the broker end the wait of all workers.

        Raises:
            BookLeftError: The run stops, or the budget holds no such call.
            SetupError: No such call can ever be made, or the actor cannot be had.
        """
        while True:
            answer = self._here.ask(request)
            if isinstance(answer, Lease):
                return answer
            if answer.kind == "setup":
                raise SetupError(answer.reason)
            if answer.kind != "again":
                raise BookLeftError(answer.reason, stops=answer.kind == "budget")

    def settle(self, lease: Lease, spent: CallOutcome) -> None:
        """Give back what a call did not take; it arrives, or the actor's heir is told of it."""
        self._here.settle(lease, spent)

    def count_cached_calls(self, calls: int) -> None:
        """Count answers that came from the cache."""
        self._here.count_cached_calls(calls)

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
        raise ends_again(self.pool)

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


def broker_for(
    pool: str, options: QuotaOptions, joining: RunRegistration, dead_s: float = DEAD_S
) -> RemoteQuotaClient:
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
    permits = RemoteQuotaClient(pool, options, joining, node, dead_s)
    permits.configure()
    return permits
