"""Sums of calls and tokens by day, model and service tier."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from raypipe.core.model_ids import base_model_id

_ROWS = "_by_day"
"""End of the key of the sums by day, model and tier."""

K = TypeVar("K", str, tuple[str, str])


@dataclass(frozen=True, slots=True, order=True)
class CallKind:
    """Calls that are billed alike on a day.

    Args:
        day: Date of the calls in UTC, as `2026-11-28`; '' if it is not known.
        model: Model id or inference profile id, as in the price table.
        tier: Service tier.
    """

    day: str
    model: str
    tier: str = "default"


@dataclass
class TokenSums:
    """Numbers of calls and tokens.

    Args:
        counts: Calls, input tokens and output tokens by the kind of the calls.
    """

    counts: dict[CallKind, tuple[int, int, int]] = field(default_factory=dict)

    @property
    def models(self) -> dict[str, tuple[int, int, int]]:
        """Calls, input tokens and output tokens by model id without region prefix, sorted."""
        return self.group_by(lambda kind: base_model_id(kind.model))

    def group_by(self, key: Callable[[CallKind], K]) -> dict[K, tuple[int, int, int]]:
        """Return calls, input tokens and output tokens by a key of their kind, sorted."""
        groups: dict[K, tuple[int, int, int]] = {}
        for kind, counts in self.counts.items():
            groups[key(kind)] = _add(groups.get(key(kind), (0, 0, 0)), counts)
        return dict(sorted(groups.items()))

    def add(self, kind: CallKind, counts: tuple[int, int, int], sign: int = 1) -> None:
        """Add the counts of calls; subtract them if `sign` is -1."""
        self.counts[kind] = _add(self.counts.get(kind, (0, 0, 0)), counts, sign)

    def merge(self, other: TokenSums, sign: int = 1) -> None:
        """Add all counts of other sums; subtract them if `sign` is -1."""
        for kind, counts in other.counts.items():
            self.add(kind, counts, sign)

    def to_json(self, name: str = "models") -> dict[str, Any]:
        """Return the sums as plain JSON values.

        The sums by base model are all that raypipe kept before it knew days and service tiers;
        such a raypipe reads them still.

        Args:
            name: Key of the sums by base model.
        """
        rows = [
            [kind.day, kind.model, kind.tier, *counts]
            for kind, counts in sorted(self.counts.items())
            if any(counts)
        ]
        return {name: {model: list(counts) for model, counts in self.models.items()},
                f"{name}{_ROWS}": rows}  # fmt: skip

    @staticmethod
    def from_json(value: Mapping[str, Any], name: str = "models") -> TokenSums:
        """Return sums from plain JSON values.

        Args:
            value: Result of `to_json`, with other keys or not.
            name: Key of the sums by base model.

        Raises:
            ValueError: They are not sums.
        """
        models, sums = value[name], TokenSums()
        if not isinstance(models, dict):
            raise ValueError("the sums are no object")
        older = [["", model, "default", *counts] for model, counts in models.items()]
        for day, model, tier, *counts in value.get(f"{name}{_ROWS}", older):
            calls, inputs, outputs = counts
            if not all(type(count) is int and count >= 0 for count in counts):
                raise ValueError("a sum is no count")
            sums.add(CallKind(str(day), str(model), str(tier)), (calls, inputs, outputs))
        return sums


def _add(
    first: tuple[int, int, int], second: tuple[int, int, int], sign: int = 1
) -> tuple[int, int, int]:
    return (
        first[0] + sign * second[0],
        first[1] + sign * second[1],
        first[2] + sign * second[2],
    )
