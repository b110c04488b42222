"""Retry transient errors: which statuses are transient, and how long to wait between attempts."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

TRANSIENT_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504, *range(520, 531)})
"""HTTP statuses after which the same request may succeed (RFC 9110, 6585 and 8470).
Proxies such as Cloudflare answer 520 to 530 for a server that they cannot reach."""
_RETRY_AFTER = "retry-after"
MAX_RETRY_AFTER_S = 900.0
"""A server that asks for a longer wait is asked again after this many seconds."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt of a retry loop.

    Args:
        number: 1 for the first attempt.
        is_last: Whether the loop ends after this attempt.
    """

    number: int
    is_last: bool


def attempts(
    *,
    tries: int,
    within_s: float = 0.0,
    base: float = 0.5,
    cap: float = 60.0,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Attempt]:
    """Yield the attempts of a retry loop, with `full_jitter` waits between them.

    The loop body returns on success and raises when `Attempt.is_last` or the error is permanent:

        for attempt in attempts(tries=5):
            try:
                return request()
            except RequestError as error:
                if attempt.is_last or not is_transient(error):
                    raise

    Args:
        tries: Number of attempts, at least 1.
        within_s: Seconds in which attempts beyond `tries` may still begin.
        base: Upper bound of the first wait, in seconds; it doubles with each attempt.
        cap: Upper bound of every wait, in seconds.
        sleep: Waits that many seconds.
        clock: Monotonic seconds.
    """
    end = clock() + within_s
    number = 1
    while True:
        is_last = number >= tries and clock() >= end
        yield Attempt(number, is_last)
        if is_last:
            return
        sleep(full_jitter(number, base=base, cap=cap))
        number += 1


def full_jitter(attempt: int, *, base: float = 0.5, cap: float = 60.0) -> float:
    """Return the seconds to wait before retry number `attempt` (1 = the first retry).

    Uniform between 0 and the capped exponential, so that the retries of many workers spread out:
    "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """
    return random.uniform(0.0, min(cap, base * 2.0 ** min(attempt - 1, 30)))


def retry_after_s(headers: Mapping[str, str], millis: str = "") -> float | None:
    """Return the wait that a server asks for, in seconds, or None.

    `Retry-After` holds seconds or a date: RFC 9110, section 10.2.3. An unreadable value counts
    as none, and more than 15 minutes as 15 minutes.

    Args:
        headers: Headers of the response; names in lower case, or a case-insensitive mapping.
        millis: Name of a header in milliseconds that takes precedence.
    """
    for name, unit in ((millis, 1e-3), (_RETRY_AFTER, 1.0)):
        try:
            wait_s = float(headers[name]) * unit
        except (KeyError, TypeError, ValueError):
            continue
        if math.isfinite(wait_s):
            return bound_wait(wait_s)
    try:
        wait_s = parsedate_to_datetime(headers[_RETRY_AFTER]).timestamp() - time.time()
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    return bound_wait(wait_s)


def bound_wait(seconds: float | None) -> float | None:
    """Return a wait that a server asks for, 0 to 15 minutes; None for none, inf and nan."""
    if seconds is None or not math.isfinite(seconds):
        return None
    return min(max(0.0, seconds), MAX_RETRY_AFTER_S)
