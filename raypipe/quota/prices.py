"""Prices of models and their token burndown: a dated table in conf/prices/."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from raypipe.core.errors import SetupError


@dataclass(frozen=True)
class Price:
    """The price of one model.

    Args:
        input: Dollars per million input tokens.
        output: Dollars per million output tokens.
        burndown: Quota tokens per output token: Bedrock's token burndown rate.

    Raises:
        ValueError: A value is not a number of 0 or more.
    """

    input: float = 0.0
    output: float = 0.0
    burndown: float = 1.0

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name in ("input", "output", "burndown"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
                raise ValueError(f"{name}={value} must be a number, 0 or more")

    def usd(self, input_tokens: float, output_tokens: float) -> float:
        """Return the cost of tokens in dollars."""
        return (input_tokens * self.input + output_tokens * self.output) / 1e6


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
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
                raise ValueError(f"{name}={value} must be a number, 0 or more")

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
        models: The fields of a `Price` by base model: the model id without region prefix.
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

    def find(self, model: str) -> Price | None:
        """Return a model's price, or None if the table does not have it."""
        price = self.models.get(model)
        return None if price is None else Price(**price)

    def require(self, model: str) -> Price:
        """Return a model's price, which a budget in dollars requires.

        Raises:
            SetupError: The table does not have the model.
        """
        price = self.find(model)
        if price is None:
            raise SetupError(
                f"conf/prices of {self.date} has no price of {model}, but budget.max_usd needs it; "
                "add the price in your own prices file (--config-dir), or set budget.max_tokens"
            )
        return price
