"""Count tokens by one exact rule, so that a client's numbers can be checked."""

from __future__ import annotations

import math


def count_tokens(text: str, bytes_per_token: float = 4.0) -> int:
    """Return the number of tokens: UTF-8 bytes over `bytes_per_token`, rounded up.

    Usage, quota and CountTokens all follow this rule.
    """
    return math.ceil(len(text.encode("utf-8", "surrogatepass")) / bytes_per_token)


def truncate_to_tokens(text: str, tokens: int, bytes_per_token: float = 4.0) -> str:
    """Return the longest prefix of a text with at most `tokens` tokens."""
    prefix = text.encode("utf-8", "surrogatepass")[: int(tokens * bytes_per_token)]
    return prefix.decode("utf-8", "ignore")
