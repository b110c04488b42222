"""The quota tokens that a call reserves, and the check that a quota can hold a call at all."""

from __future__ import annotations

from collections import deque

from raypipe.core.errors import SetupError
from raypipe.core.options import QuotaOptions
from raypipe.quota.protocol import CallRequest

MAX_ANSWERS = 50
"""Number of answers whose length is remembered, as in bespokelabs' curator."""


class AnswerLengths:
    """The share of `max_tokens` that answers take, learned from their usage."""

    def __init__(self) -> None:
        self._shares: deque[float] = deque(maxlen=MAX_ANSWERS)
        self._mean_share = 1.0  # cautious until the first answer

    def learn(self, request: CallRequest, output_tokens: int) -> None:
        """Learn from the length of an answer."""
        if request.max_tokens > 0:
            self._shares.append(output_tokens / request.max_tokens)
            self._mean_share = sum(self._shares) / len(self._shares)

    def expected_tokens(self, request: CallRequest) -> float:
        """Return the expected output tokens of a call."""
        return self._mean_share * request.max_tokens


def reserved_tokens(request: CallRequest, burndown: float, expected_output: float) -> float:
    """Return the quota tokens to reserve for one call.

    Bedrock reserves input + max_tokens and settles input + burndown x output (AWS, "Token burndown
    and quotas in Amazon Bedrock"). With a burndown above 1, a call can take more at its end than
    it reserved at its start.
    """
    return request.input_tokens + max(request.max_tokens, burndown * expected_output)


def check_call_fits(options: QuotaOptions, request: CallRequest) -> None:
    """Check that the quota can hold one call.

    Raises:
        SetupError: The call reserves more than the quota of a minute or a day.
    """
    if not options.managed:
        return
    reserved = request.input_tokens + request.max_tokens
    limits = (
        ("tokens_per_minute", options.tokens_per_minute),
        ("tokens_per_day", options.tokens_per_day),
    )
    for name, limit in limits:
        if limit is not None and reserved > limit:
            raise SetupError(
                f"quota.{name}={limit} is less than one call reserves: {request.input_tokens} "
                f"input tokens and max_tokens={request.max_tokens}; use smaller chunks or answers"
            )
