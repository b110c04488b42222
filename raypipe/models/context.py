"""What a run gives to the parts that call models: the answer cache and the quota.

A part is a summarizer or an embedder. Every part has the members `paid_model` and `with_context`
(see `raypipe.summarizers.protocol.Summarizer` and `raypipe.embedders.protocol.Embedder`). The run
reads `paid_model` to set up quota, budget and price, and then calls `with_context`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, Self, runtime_checkable

from raypipe.quota.prices import Prices, name_price
from raypipe.quota.protocol import QuotaClient
from raypipe.state.store import State


class PaidModel(Protocol):
    """A model whose calls cost money. Every `ChatModel` and `EmbeddingModel` is one."""

    @property
    def pool(self) -> str:
        """Return the name of the quota that its calls draw on."""

    @property
    def base_model(self) -> str:
        """Return the model id without region prefix."""


@runtime_checkable
class NamesBilling(Protocol):
    """A model that is billed under another id than `base_model`, or at a service tier."""

    @property
    def billing(self) -> Billing:
        """Return how its calls are billed."""


@dataclass(frozen=True, slots=True)
class Billing:
    """How the calls of a model are billed.

    Args:
        model: Model id or inference profile id, as in the price table.
        tier: Service tier, one of `raypipe.quota.prices.TIERS`.
    """

    model: str
    tier: str = "default"

    def __str__(self) -> str:
        """Return model and tier for a message."""
        return name_price(self.model, self.tier)


def billing_of(model: PaidModel) -> Billing:
    """Return how the calls of a model are billed; by its base model if it does not say."""
    return model.billing if isinstance(model, NamesBilling) else Billing(model.base_model)


@runtime_checkable
class NamesServer(Protocol):
    """A model whose id does not tell which model answers: it depends on the server."""

    @property
    def cache_server(self) -> str:
        """Return the name of the server in the answer cache; '' if the model id is enough."""


def server_key(model: PaidModel) -> Mapping[str, str]:
    """Return the part of a cache key that tells servers apart; empty if the model id is enough."""
    server = model.cache_server if isinstance(model, NamesServer) else ""
    return {"server": server} if server else {}


@dataclass(frozen=True)
class ModelContext:
    """The answer cache and the quota of a run. It is pickled to the workers with each part.

    Args:
        state: Where paid answers are cached. None for no cache: every call is made.
        quotas: The quota client of each pool, by `PaidModel.pool`. A pool without a client is
            limited by the number of calls in flight only.
        max_in_flight: Maximum number of calls that one worker has in flight.
        prices: The price table, for the dollars of each document.
    """

    state: State | None = None
    quotas: Mapping[str, QuotaClient] = field(default_factory=dict)
    max_in_flight: int = 64
    prices: Prices = field(default_factory=Prices)


class CallsNoModel:
    """Base class of parts that run locally: they need no quota and no cache."""

    @property
    def paid_model(self) -> None:
        """Return None: no call costs money."""

    def with_context(self, context: ModelContext) -> Self:
        """Return the part itself; it does not use the context."""
        return self
