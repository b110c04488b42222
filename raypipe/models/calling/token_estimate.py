"""Estimate the tokens of a request from its bytes, and learn from the server's counts."""

from __future__ import annotations

import math
import threading

from raypipe.models.calling.cut_prompts import CutPrompts

_OVERHEAD_TOKENS = 16  # roles and frames around the texts
_MIN_BYTES = 200
"""Shorter texts are not learned from: the frame is the larger part of such a request."""
_BYTES_PER_TOKEN_RANGE = (0.5, 8.0)
"""Learned values are kept within this range."""
_WEIGHT_DOWN, _WEIGHT_UP = 0.5, 0.1


class TokenEstimate:
    """Bytes of UTF-8 per token, learned from the server's counts of whole prompts. Thread-safe.

    English has 3 to 4 bytes per token (2.9 with the newest tokenizers), so a start of 3 does not
    underestimate tokens. Underestimates are corrected fast, overestimates slowly.

    Args:
        bytes_per_token: Start value.
    """

    def __init__(self, bytes_per_token: float = 3.0) -> None:
        self.bytes_per_token = bytes_per_token
        self.cut_prompts = CutPrompts()
        self._lock = threading.Lock()

    def tokens(self, size: int) -> int:
        """Return the estimated tokens of a request with `size` bytes of text."""
        return math.ceil(size / self.bytes_per_token) + _OVERHEAD_TOKENS

    def learn(self, size: int, tokens: int) -> None:
        """Learn that the server counted `tokens` tokens for `size` bytes of text."""
        if size < _MIN_BYTES or tokens <= 0:
            return
        low, high = _BYTES_PER_TOKEN_RANGE
        observed = min(max(size / tokens, low), high)
        with self._lock:
            weight = _WEIGHT_DOWN if observed < self.bytes_per_token else _WEIGHT_UP
            self.bytes_per_token += weight * (observed - self.bytes_per_token)
