"""Read the token counts that a server sends; estimate the counts that it leaves out."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from raypipe.models.protocol import TokenUsage

log = logging.getLogger(__name__)

_MAX_TOKENS = 1_000_000_000
"""A larger count of a single call is an error of the server."""


def read_count(value: Any) -> int:
    """Return a server's count of tokens; 0 if it is missing or cannot be a count."""
    is_int = isinstance(value, int) and not isinstance(value, bool)
    return value if is_int and 0 <= value <= _MAX_TOKENS else 0


def read_usage(counts: Any, model: str, input_name: str, output_name: str = "") -> TokenUsage:
    """Return the tokens of an answer; 0 stands for a count that the server did not send.

    Args:
        counts: The part of the answer that should map names to counts.
        model: Name of the model, for the log.
        input_name: Name of the count of input tokens.
        output_name: Name of the count of output tokens; '' if there is none.
    """
    values = counts if isinstance(counts, Mapping) else {}
    usage = TokenUsage(read_count(values.get(input_name)), read_count(values.get(output_name)))
    if usage.input_tokens == 0 or (output_name and values.get(output_name) != usage.output_tokens):
        log_missing_counts(model)
    return usage


@lru_cache(maxsize=256)
def log_missing_counts(model: str) -> None:
    """Log, once per process and model, that token counts are estimated."""
    log.warning(
        "%s did not report valid token counts; raypipe estimates the tokens from the sizes of "
        "request and answer, so budgets are approximate",
        model,
    )
