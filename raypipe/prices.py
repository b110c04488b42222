"""What models cost, and what else differs by model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Price:
    """One model.

    Args:
        input: Dollars a million input tokens.
        output: Dollars a million output tokens.
        burndown: Quota tokens that one output token costs (Bedrock's token burndown rate).
    """

    input: float
    output: float
    burndown: float = 1.0


@dataclass(frozen=True)
class Prices:
    """A dated price table; a person may give another.

    Args:
        source: Where the prices were read.
        date: When, ISO 8601.
        models: Prices by base model id: no region prefix.
    """

    source: str
    date: str
    models: Mapping[str, Price] = field(default_factory=dict)
