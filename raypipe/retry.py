"""Which errors are transient, and how long to wait before the next try."""

from __future__ import annotations

import random
import time
from email.utils import parsedate_to_datetime

TRANSIENT_STATUS = frozenset({408, 429, 500, 502, 503, 504})
"""HTTP statuses after which the same request may succeed (RFC 9110, section 15; RFC 6585)."""


def full_jitter(attempt: int, *, base: float = 0.5, cap: float = 60.0) -> float:
    """Return seconds to wait before try `attempt` (1 = first retry).

    Uniform between 0 and the capped exponential, so that many workers spread out:
    "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """
    return random.uniform(0.0, min(cap, base * 2.0 ** min(attempt - 1, 30)))


def retry_after_s(said: str | None) -> float | None:
    """Return the seconds that a Retry-After header asks for; None = it cannot be read.

    Seconds or a date: RFC 9110, section 10.2.3.
    """
    if not said:
        return None
    if said.strip().isdigit():
        return float(said)
    try:
        return max(0.0, parsedate_to_datetime(said).timestamp() - time.time())
    except (TypeError, ValueError):
        return None
