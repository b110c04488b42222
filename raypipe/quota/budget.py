"""What a run may still spend, and what it spent: charged at the worst case, settled to the real."""

from __future__ import annotations

from dataclasses import dataclass

from raypipe.core.options import BudgetOptions


@dataclass(frozen=True, slots=True)
class Cost:
    """Dollars and tokens, input and output together."""

    usd: float = 0.0
    tokens: int = 0

    def __add__(self, other: Cost) -> Cost:
        """Add up."""
        return Cost(self.usd + other.usd, self.tokens + other.tokens)

    def __sub__(self, other: Cost) -> Cost:
        """Take away."""
        return Cost(self.usd - other.usd, self.tokens - other.tokens)


class BudgetGuard:
    """The budget of one run, whatever models it calls.

    Args:
        budget: The limits.
        already: What was spent before and counts.
    """

    def __init__(self, budget: BudgetOptions, already: Cost) -> None:
        self._budget = budget
        self._spent = already
        self._held = Cost()
        self._calls = 0

    @property
    def bounded(self) -> bool:
        """Whether there is any limit."""
        return (self._budget.max_usd, self._budget.max_tokens) != (None, None)

    @property
    def waits(self) -> bool:
        """Whether calls are in flight that may give some back."""
        return self._calls > 0

    def fits(self, worst: Cost) -> bool:
        """Whether a call fits, if all that are in flight take the most they can."""
        usd, tokens = self._budget.max_usd, self._budget.max_tokens
        total = self._spent + self._held + worst
        # Sums of many small fractions of a cent must not refuse what fits exactly.
        return (usd is None or total.usd <= usd + 1e-9) and (
            tokens is None or total.tokens <= tokens
        )

    def hold(self, worst: Cost) -> None:
        """Charge a call at the worst case."""
        self._held += worst
        self._calls += 1

    def settle(self, worst: Cost, real: Cost) -> None:
        """Charge what the call really took."""
        self._held -= worst
        self._calls -= 1
        self._spent += real

    def correct(self, assumed: Cost, real: Cost) -> None:
        """Charge what a call really took that had been given up as spent."""
        self._spent += real - assumed

    def used_up(self, worst: Cost) -> str:
        """Say for a person that no such call fits."""
        usd, tokens = self._budget.max_usd, self._budget.max_tokens
        spent = self._spent
        if usd is not None and spent.usd + worst.usd > usd:
            return (
                f"the budget is used up: ${spent.usd:.4f} of budget.max_usd={usd:g} are spent and "
                f"the next call may cost ${worst.usd:.4f}"
            )
        return (
            f"the budget is used up: {spent.tokens:,} tokens of budget.max_tokens={tokens} are "
            f"spent and the next call may take {worst.tokens:,}"
        )
