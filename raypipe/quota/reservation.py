"""What a call reserves of the quota, and calls that no quota of that size can ever hold."""

from __future__ import annotations

from collections import deque

from raypipe.core.errors import SetupError
from raypipe.core.options import QuotaOptions
from raypipe.quota.protocol import CallRequest

KEPT = 50
"""Answers whose length is remembered, as bespokelabs' curator does."""


class AnswerLengths:
    """How much of `max_tokens` answers take, learned from usage."""

    def __init__(self) -> None:
        self._shares: deque[float] = deque(maxlen=KEPT)
        self._share = 1.0  # cautious until an answer came

    def add(self, need: CallRequest, output_tokens: int) -> None:
        """Learn from an answer."""
        if need.max_tokens > 0:
            self._shares.append(output_tokens / need.max_tokens)
            self._share = sum(self._shares) / len(self._shares)

    def expected(self, need: CallRequest) -> float:
        """Return the output tokens to expect."""
        return self._share * need.max_tokens


def reservation(need: CallRequest, burndown: float, expected_output: float) -> float:
    """Return quota tokens that one call may take.

    Bedrock reserves input + max_tokens and settles input + burndown x output (AWS, "Token burndown
    and quotas in Amazon Bedrock"): with a burndown above 1 the end can be more than the start.
    """
    return need.input_tokens + max(need.max_tokens, burndown * expected_output)


def check_call_fits(options: QuotaOptions, need: CallRequest) -> None:
    """Check that the quota can hold one call.

    Raises:
        SetupError: It never can.
    """
    if not options.managed:
        return
    least = need.input_tokens + need.max_tokens
    for name in ("tokens_per_minute", "tokens_per_day"):
        most = getattr(options, name)
        if most is not None and least > most:
            raise SetupError(
                f"quota.{name}={most} is less than one call reserves: {need.input_tokens} tokens "
                f"of input and max_tokens={need.max_tokens}; smaller chunks or answers would fit"
            )
