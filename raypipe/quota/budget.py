"""Keep a run within its budget: charge each call at its maximum, then settle its actual cost."""

from __future__ import annotations

from dataclasses import dataclass

from raypipe.core.options import BudgetOptions


@dataclass(frozen=True, slots=True)
class Cost:
    """Dollars and tokens; input and output tokens together."""

    usd: float = 0.0
    tokens: int = 0

    def __add__(self, other: Cost) -> Cost:
        """Return the sum of both."""
        return Cost(self.usd + other.usd, self.tokens + other.tokens)

    def __sub__(self, other: Cost) -> Cost:
        """Return the difference."""
        return Cost(self.usd - other.usd, self.tokens - other.tokens)


class BudgetGuard:
    """The budget of one run, for all calls that are charged to it.

    Args:
        budget: The limits.
        already_spent: Cost from before that counts against the budget.
    """

    def __init__(self, budget: BudgetOptions, already_spent: Cost) -> None:
        self._budget = budget
        self._spent = already_spent
        self._reserved = Cost()
        self._calls_in_flight = 0

    @property
    def has_limit(self) -> bool:
        """Return whether the budget limits anything."""
        return (self._budget.max_usd, self._budget.max_tokens) != (None, None)

    @property
    def has_calls_in_flight(self) -> bool:
        """Return whether calls are in flight that may return a part of their reservation."""
        return self._calls_in_flight > 0

    def fits(self, max_cost: Cost) -> bool:
        """Return whether a call fits if all calls in flight cost their maximum."""
        max_usd, max_tokens = self._budget.max_usd, self._budget.max_tokens
        total = self._spent + self._reserved + max_cost
        # The rounding of sums of many small fractions of a cent must not refuse an exact fit.
        return (max_usd is None or total.usd <= max_usd + 1e-9) and (
            max_tokens is None or total.tokens <= max_tokens
        )

    def reserve(self, max_cost: Cost) -> None:
        """Charge a call that begins at its maximum cost."""
        self._reserved += max_cost
        self._calls_in_flight += 1

    def settle(self, max_cost: Cost, actual: Cost) -> None:
        """Replace the reservation of a finished call by its actual cost."""
        self._reserved -= max_cost
        self._calls_in_flight -= 1
        self._spent += actual

    def correct(self, assumed: Cost, actual: Cost) -> None:
        """Replace a cost that was assumed for a call by its actual cost."""
        self._spent += actual - assumed

    def explain_refusal(self, max_cost: Cost) -> str:
        """Return the message about a call that does not fit."""
        max_usd, max_tokens = self._budget.max_usd, self._budget.max_tokens
        spent = self._spent
        if max_usd is not None and spent.usd + max_cost.usd > max_usd:
            return (
                f"the budget is used up: ${spent.usd:.4f} of budget.max_usd={max_usd:g} are spent "
                f"and the next call may cost ${max_cost.usd:.4f}"
            )
        return (
            f"the budget is used up: {spent.tokens:,} tokens of budget.max_tokens={max_tokens} are "
            f"spent and the next call may take {max_cost.tokens:,}"
        )
