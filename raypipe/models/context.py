"""What a run gives to the parts that call models: the answer cache and the quota.

A part is a summarizer or an embedder. Every part has the members `paid_model` and `with_context`
(see `raypipe.summarizers.protocol.Summarizer` and `raypipe.embedders.protocol.Embedder`). The run
reads `paid_model` to set up quota, budget and price, and then calls `with_context`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, Self

from raypipe.quota.protocol import QuotaClient
from raypipe.state.store import State


class PaidModel(Protocol):
    """A model whose calls cost money. Every `ChatModel` and `EmbeddingModel` is one."""

    @property
    def pool(self) -> str:
        """Return the name of the quota that its calls draw on."""

    @property
    def base_model(self) -> str:
        """Return the model id that the price table uses."""


@dataclass(frozen=True)
class ModelContext:
    """The answer cache and the quota of a run. It is pickled to the workers with each part.

    Args:
        state: Where paid answers are cached. None for no cache: every call is made.
        quotas: The quota client of each pool, by `PaidModel.pool`. A pool without a client is
            limited by the number of calls in flight only.
        max_in_flight: Maximum number of calls that one worker has in flight.
    """

    state: State | None = None
    quotas: Mapping[str, QuotaClient] = field(default_factory=dict)
    max_in_flight: int = 64


class CallsNoModel:
    """Base class of parts that run locally: they need no quota and no cache."""

    @property
    def paid_model(self) -> None:
        """Return None: no call costs money."""

    def with_context(self, context: ModelContext) -> Self:
        """Return the part itself; it does not use the context."""
        return self
