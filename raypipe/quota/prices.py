"""What models cost, and what else differs by model: a dated table in conf/prices/."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from raypipe.core.errors import SetupError


@dataclass(frozen=True)
class Price:
    """One model.

    Args:
        input: Dollars a million input tokens.
        output: Dollars a million output tokens.
        burndown: Quota tokens that one output token costs: Bedrock's token burndown rate.
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
        """Return what tokens cost, in dollars."""
        return (input_tokens * self.input + output_tokens * self.output) / 1e6


@dataclass(frozen=True)
class Prices:
    """A price table; a person may give another.

    Args:
        source: Where the prices were read.
        date: When, ISO 8601.
        models: A `Price` of each base model: its id without a region's prefix.
    """

    source: str = ""
    date: str = ""
    models: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check each price."""
        for model, cells in self.models.items():
            try:
                Price(**cells)
            except (TypeError, ValueError) as error:
                raise ValueError(f"models: {model}: {error}") from None

    def of(self, model: str) -> Price | None:
        """Return a model's price, or None where the table does not have it."""
        cells = self.models.get(model)
        return None if cells is None else Price(**cells)

    def needed(self, model: str) -> Price:
        """Return a model's price.

        Raises:
            SetupError: The table does not have it, and a budget in dollars needs it.
        """
        price = self.of(model)
        if price is None:
            raise SetupError(
                f"conf/prices of {self.date} has no price of {model}, which budget.max_usd needs; "
                "add it in a prices file of your own (--config-dir), or set budget.max_tokens"
            )
        return price
