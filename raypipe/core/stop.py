"""Ask whether a run was asked to stop."""

from __future__ import annotations

from collections.abc import Callable

StopCheck = Callable[[], str]
"""Return the stop reason, or '' to continue. Called often, so keep it cheap."""


def never_stopped() -> str:
    """Return '': nothing stops the work."""
    return ""
