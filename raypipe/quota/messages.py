"""The messages between a worker process and the quota service."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from raypipe.core.options import BudgetOptions
from raypipe.quota.budget import Cost
from raypipe.quota.prices import Price
from raypipe.quota.protocol import CallOutcome, CallRequest, Lease
from raypipe.quota.waiting_calls import Refusal


@dataclass(frozen=True)
class RunRegistration:
    """A run, as it registers with the broker of a pool.

    Args:
        run_id: Id of the run; unique on the cluster.
        price: Price of the pool's model.
        budget: The run's budget.
        already_spent: Cost from before that counts against the budget.
    """

    run_id: str
    price: Price
    budget: BudgetOptions
    already_spent: Cost = field(default_factory=Cost)


@dataclass(frozen=True, slots=True)
class Settlement:
    """A lease that a process settles.

    Args:
        number: Number of the lease.
        request: The most that the call could take. The service that granted the lease may be gone,
            so its successor cannot look the request up.
        outcome: Outcome of the call.
        reused_by: Number and request of the call that got the lease next; None if the lease is
            given back.
    """

    number: int
    request: CallRequest
    outcome: CallOutcome
    reused_by: tuple[int, CallRequest] | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """What a process reports and requests at once.

    Args:
        number: Number of the batch; a repeated batch has the same number.
        requests: Calls that want a lease, by the process's own numbers.
        settlements: Leases that the process settles.
        cached_calls: Number of answers from the cache since the last batch.
    """

    number: int
    requests: Mapping[int, CallRequest]
    settlements: Sequence[Settlement] = ()
    cached_calls: int = 0


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to a batch.

    Args:
        answers: Leases and refusals by the numbers of the requests.
        pause_s: Seconds after which to send the next batch, if there is anything to send.
        may_reuse_leases: Whether the process may pass a lease that it settles to its next call.
    """

    answers: Mapping[int, Lease | Refusal]
    pause_s: float
    may_reuse_leases: bool = False
