"""What the model calls of a run share: the cache of paid answers and the quota."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, Self, runtime_checkable

from raypipe.quota.protocol import QuotaClient
from raypipe.state.store import State


@dataclass(frozen=True)
class ModelContext:
    """Bound to each part that calls models, before it travels to the workers.

    Args:
        state: Where paid answers are kept; None = nowhere, every call is made.
        permits: The quota of each pool, by `ChatModel.pool`; a pool that is not in it has no
            quota but the part's own calls in flight.
        max_in_flight: Most calls that one worker may have in flight.
    """

    state: State | None = None
    permits: Mapping[str, QuotaClient] = field(default_factory=dict)
    max_in_flight: int = 64


@runtime_checkable
class CallsModels(Protocol):
    """A part that calls models for money."""

    @property
    def pool(self) -> str:
        """Name the quota that its calls draw on."""

    @property
    def base_model(self) -> str:
        """Return the model's id as the prices know it."""

    def bound(self, account: ModelContext) -> Self:
        """Return the part with the run's cache and quota."""
