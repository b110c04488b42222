"""Tell the kinds of stop reasons apart, for notifications and metrics."""

from __future__ import annotations

import re

STOP_KINDS = ("breaker", "budget", "stop")
"""`breaker`: too many books failed. `budget`: it is used up. `stop`: any other reason."""

_PATTERNS = {
    # `raypipe.coordination.breaker`
    "breaker": re.compile(r"the first \d+ books all failed alike|\d+ of the last \d+ books failed"),
    # `raypipe.quota.budget` and `raypipe.run.costs`
    "budget": re.compile(r"\bbudget\.max_(?:usd|tokens)="),
}


def stop_kind(reason: str) -> str:
    """Return the kind of a stop reason, one of `STOP_KINDS`; '' for an empty reason."""
    if not reason:
        return ""
    return next((kind for kind, pattern in _PATTERNS.items() if pattern.search(reason)), "stop")
