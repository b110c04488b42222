"""Recognize requests that AWS refuses because the clock of this machine is wrong."""

from __future__ import annotations

import re

CLOCK_HINT = "the clock of this machine is wrong: set it, for example with NTP; "
"""Cause and fix; more advice may follow."""

_CLOCK = re.compile(
    r"signature (expired|not yet current)|request ?time ?too ?skewed|request has expired"
    r"|difference between the request time",
    re.IGNORECASE,
)


def is_clock_wrong(text: str) -> bool:
    """Return whether a code or message of AWS is about the time of the request."""
    return bool(_CLOCK.search(text))
