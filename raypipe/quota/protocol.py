"""Contract of the quota: leases for tokens, requests, calls in flight and money.

All workers that call one model share its quota, called a pool.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from raypipe.core.retry import bound_wait
from raypipe.core.stop import StopCheck, never_stopped

NAMESPACE = "raypipe"
"""Ray namespace of the broker actors; workers find a broker by its name there."""

_MAX_TOKENS = 1_000_000_000
"""A larger count of a single call is an error of the server."""


@dataclass(frozen=True, slots=True)
class CallRequest:
    """The most that one call can take.

    Args:
        input_tokens: Estimated tokens of the request.
        max_tokens: Maximum tokens of the answer.
        is_retry: Whether the call was refused or lost before; retries precede new calls.
    """

    input_tokens: int
    max_tokens: int
    is_retry: bool = False


@dataclass(frozen=True, slots=True)
class Lease:
    """Permission to make one call now. Every lease is settled exactly once."""

    number: int


@dataclass(frozen=True, slots=True)
class CallOutcome:
    """The result of a call, for the quota and the budget.

    Args:
        input_tokens: Tokens that the server counted; 0 if it refused the call.
        output_tokens: Tokens of the answer; 0 if the server refused the call.
        throttled: Whether the server refused because the quota is used up (429).
        retry_after_s: Seconds that the server asked to wait, bounded by `bound_wait`; None if it
            named no time.
        daily: Whether the daily quota is used up.
        unknown: Whether the request was sent and its result is unknown; its reservation counts
            as spent.
        seconds: Duration of the call.
        tier: Service tier that the server billed; '' if it named none.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    throttled: bool = False
    retry_after_s: float | None = None
    daily: bool = False
    unknown: bool = False
    seconds: float = 0.0
    tier: str = ""

    def __post_init__(self) -> None:
        """Bound what a server says: the broker of all runs calculates with it."""
        object.__setattr__(self, "retry_after_s", bound_wait(self.retry_after_s))
        for name in ("input_tokens", "output_tokens"):
            count = getattr(self, name)
            is_count = type(count) is int and 0 <= count <= _MAX_TOKENS
            object.__setattr__(self, name, count if is_count else 0)


@dataclass(frozen=True, slots=True)
class Totals:
    """Counts of a run's calls so far.

    Args:
        calls: Answered calls.
        throttled: Calls that the server refused because the quota was used up.
        unknown: Calls with an unknown result.
        input_tokens: Tokens of the answered calls' requests.
        output_tokens: Tokens of the answers.
        usd: Cost in dollars; calls with an unknown result count at their maximum.
        in_flight: Calls in flight now.
        cached_calls: Answers that came from the cache.
        tokens_per_minute: The rate that is tried now; None for no limit.
        paused: Why no call begins for minutes, such as a used up daily quota; '' if calls begin.
        retries: Calls sent again, after a refusal or a lost answer.
    """

    calls: int = 0
    throttled: int = 0
    unknown: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    usd: float = 0.0
    in_flight: int = 0
    cached_calls: int = 0
    tokens_per_minute: float | None = None
    paused: str = ""
    retries: int = 0


class QuotaClient(Protocol):
    """A pool's quota, as a worker uses it. Thread-safe."""

    def acquire(self, request: CallRequest, stop_check: StopCheck = never_stopped) -> Lease:
        """Wait for permission to make one call.

        Args:
            request: The most that the call can take.
            stop_check: Returns the stop reason. A client whose wait is ended from elsewhere, as
                by the broker, does not have to ask it.

        Raises:
            raypipe.core.errors.BookLeftError: The run stops, or the budget does not cover the call.
        """

    def settle(self, lease: Lease, outcome: CallOutcome) -> None:
        """Give back a lease; return to the quota and budget what the call did not take."""

    def count_cached_calls(self, calls: int) -> None:
        """Count answers that came from the cache."""

    def totals(self) -> Totals:
        """Return the counts so far."""


class RunQuota(QuotaClient, Protocol):
    """A pool's quota, as the process that runs a job uses it."""

    def stop(self, reason: str) -> None:
        """Give the run no more leases; waiting calls end."""
