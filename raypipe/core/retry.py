"""Which errors are transient, and how long to wait before the next try."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

TRANSIENT_STATUS = frozenset({408, 429, 500, 502, 503, 504})
"""HTTP statuses after which the same request may succeed (RFC 9110, section 15; RFC 6585)."""
_RETRY_AFTER = "retry-after"


def full_jitter(attempt: int, *, base: float = 0.5, cap: float = 60.0) -> float:
    """Return seconds to wait before try `attempt` (1 = first retry).

    Uniform between 0 and the capped exponential, so that many workers spread out:
    "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """
    return random.uniform(0.0, min(cap, base * 2.0 ** min(attempt - 1, 30)))


def retry_after_s(headers: Mapping[str, str], millis: str = "") -> float | None:
    """Return the seconds that a server asks to wait; None = it does not say, or not readably.

    `Retry-After` says seconds or a date: RFC 9110, section 10.2.3.

    Args:
        headers: Of its answer; names in lower case, or without regard to it.
        millis: A header that says milliseconds, which comes first.
    """
    for name, unit in ((millis, 1e-3), (_RETRY_AFTER, 1.0)):
        try:
            return max(0.0, float(headers[name]) * unit)
        except (KeyError, ValueError):
            continue
    try:
        return max(0.0, parsedate_to_datetime(headers[_RETRY_AFTER]).timestamp() - time.time())
    except (KeyError, TypeError, ValueError):
        return None
