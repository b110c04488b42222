"""Leases of tokens, requests, calls in flight and money, for all workers of one model's quota."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class CallRequest:
    """What one call may take at most.

    Args:
        input_tokens: Estimated tokens of the request.
        max_tokens: Most tokens of the answer.
        again: The call was refused or lost before; it goes in front of new ones.
    """

    input_tokens: int
    max_tokens: int
    again: bool = False


@dataclass(frozen=True, slots=True)
class Lease:
    """Leave to make one call now; every lease is settled exactly once."""

    number: int


@dataclass(frozen=True, slots=True)
class CallOutcome:
    """What became of a lease.

    Args:
        input_tokens: As the server counted them; 0 where it refused.
        output_tokens: The same.
        throttled: The server said that the quota is used up (429).
        retry_after_s: Seconds it asked to wait; None = it did not say.
        daily: It is the quota of the day that is used up.
        unknown: The request was sent and its fate is unknown: its reservation counts as spent.
        seconds: How long the call took.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    throttled: bool = False
    retry_after_s: float | None = None
    daily: bool = False
    unknown: bool = False
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Totals:
    """What a run's calls came to so far."""

    calls: int = 0  # answered
    throttled: int = 0
    unknown: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    usd: float = 0.0
    in_flight: int = 0
    cached_calls: int = 0
    tokens_per_minute: float | None = None  # the rate that is tried now; None = no limit
    paused: str = ""  # why no call goes on for minutes: the quota of the day


class QuotaClient(Protocol):
    """The quota as a worker sees it; safe for many threads."""

    def acquire(self, need: CallRequest) -> Lease:
        """Wait for leave to make one call.

        Raises:
            raypipe.core.book.BookLeftError: The run stops, or the budget holds no such call.
        """

    def settle(self, lease: Lease, spent: CallOutcome) -> None:
        """Give back what a call did not take."""

    def saved(self, calls: int) -> None:
        """Count answers that came from the cache."""

    def totals(self) -> Totals:
        """Return the numbers so far."""


NAMESPACE = "raypipe"
"""Ray namespace in which the brokers are found by name."""
