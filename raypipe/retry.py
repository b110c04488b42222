"""Which errors are transient, and how long to wait before the next try."""

from __future__ import annotations

import random

TRANSIENT_STATUS = frozenset({408, 429, 500, 502, 503, 504})
"""HTTP statuses after which the same request may succeed (RFC 9110, section 15; RFC 6585)."""


def full_jitter(attempt: int, *, base: float = 0.5, cap: float = 60.0) -> float:
    """Return seconds to wait before try `attempt` (1 = first retry).

    Uniform between 0 and the capped exponential, so that many workers spread out:
    "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """
    return random.uniform(0.0, min(cap, base * 2.0 ** min(attempt - 1, 30)))
