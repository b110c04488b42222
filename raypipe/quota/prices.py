"""Prices of models by service tier, and their token burndown: a dated table in conf/prices/."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from raypipe.core.errors import SetupError
from raypipe.core.model_ids import base_model_id

TIERS = ("default", "flex", "priority", "reserved")
"""Service tiers, as Bedrock's `ServiceTier` names them; OpenAI has the first three."""


@dataclass(frozen=True)
class Price:
    """The price of one model.

    Args:
        input: Dollars per million input tokens.
        output: Dollars per million output tokens.
        burndown: Quota tokens per output token: Bedrock's token burndown rate.
        flex: `input` and `output` at this service tier; None if they are unknown.
        priority: As `flex`.
        reserved: As `flex`. Reserved capacity is paid for by the month, so tokens may cost 0.
        tier: Service tier that the calls request.

    Raises:
        ValueError: A value is not a number of 0 or more, or the tier has no price.
    """

    input: float = 0.0
    output: float = 0.0
    burndown: float = 1.0
    flex: Mapping[str, float] | None = None
    priority: Mapping[str, float] | None = None
    reserved: Mapping[str, float] | None = None
    tier: str = "default"

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name in ("input", "output", "burndown"):
            _check_number(name, getattr(self, name))
        for tier in TIERS[1:]:
            rates = getattr(self, tier)
            if rates is not None:
                if set(rates) != {"input", "output"}:
                    raise ValueError(f"{tier} must have input and output")
                for name, value in rates.items():
                    _check_number(f"{tier}.{name}", value)
        if not self.has_tier(self.tier):
            raise ValueError(f"there is no price at service_tier={self.tier}")

    def has_tier(self, tier: str) -> bool:
        """Return whether the prices at a service tier are known."""
        return tier == "default" or (tier in TIERS and getattr(self, tier) is not None)

    def usd(self, input_tokens: float, output_tokens: float, served_tier: str = "") -> float:
        """Return the cost of tokens in dollars.

        Args:
            input_tokens: Input tokens.
            output_tokens: Output tokens.
            served_tier: The tier that the server billed; '' or a tier without a price for the
                tier that was requested.
        """
        tier = served_tier if served_tier and self.has_tier(served_tier) else self.tier
        rates = {"input": self.input, "output": self.output}
        if tier != "default":
            rates = getattr(self, tier)
        return (input_tokens * rates["input"] + output_tokens * rates["output"]) / 1e6


@dataclass(frozen=True)
class S3Prices:
    """The prices of requests to S3, in dollars per 1,000 requests.

    Args:
        put: PUT, COPY, POST and LIST.
        get: GET, HEAD and SELECT. DELETE is free of charge.

    Raises:
        ValueError: A value is not a number of 0 or more.
    """

    put: float = 0.0
    get: float = 0.0

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name in ("put", "get"):
            _check_number(name, getattr(self, name))

    def usd(self, puts: float, gets: float) -> float:
        """Return the cost of requests in dollars.

        Args:
            puts: Number of requests at the price `put`.
            gets: Number of requests at the price `get`.
        """
        return (puts * self.put + gets * self.get) / 1000


@dataclass(frozen=True)
class Prices:
    """A price table. Users can configure their own.

    Args:
        source: Where the prices were read.
        date: When they were read, as an ISO 8601 date.
        models: The fields of a `Price` by model id or inference profile id.
        s3: The fields of `S3Prices`; without them, requests to S3 cost nothing.

    Raises:
        ValueError: An entry is not a price.
    """

    source: str = ""
    date: str = ""
    models: Mapping[str, Any] = field(default_factory=dict)
    s3: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check each price."""
        try:
            S3Prices(**self.s3)
        except (TypeError, ValueError) as error:
            raise ValueError(f"s3: {error}") from None
        for model, price in self.models.items():
            try:
                Price(**price)
            except (TypeError, ValueError) as error:
                raise ValueError(f"models: {model}: {error}") from None

    @property
    def requests(self) -> S3Prices:
        """Return the prices of requests to S3."""
        return S3Prices(**self.s3)

    def find(self, model: str, tier: str = "default") -> Price | None:
        """Return a model's price at a service tier, or None if the table does not have it.

        Args:
            model: Model id or inference profile id. A profile that the table does not have costs
                what the id without region prefix costs.
            tier: One of `TIERS`.
        """
        row = self.models.get(model) or self.models.get(base_model_id(model))
        if row is None or (tier != "default" and row.get(tier) is None):
            return None
        return replace(Price(**row), tier=tier)

    def burndown(self, model: str) -> float:
        """Return the quota tokens per output token of a model: the same at each service tier."""
        return (self.find(model) or Price()).burndown

    def require(self, model: str, tier: str = "default") -> Price:
        """Return a model's price at a service tier, which a budget in dollars requires.

        Raises:
            SetupError: The table does not have the model or the tier.
        """
        price = self.find(model, tier)
        if price is None:
            raise SetupError(
                f"conf/prices of {self.date} has no price of {name_price(model, tier)}, but "
                "budget.max_usd needs it; add the price in your own prices file (--config-dir), or "
                "set budget.max_tokens"
            )
        return price


def name_price(model: str, tier: str) -> str:
    """Return a model and its service tier for a message; the default tier is left out."""
    return model if tier == "default" else f"{model} at service_tier={tier}"


def _check_number(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise ValueError(f"{name}={value} must be a number, 0 or more")
