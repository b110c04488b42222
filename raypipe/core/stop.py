"""Ask whether a run was asked to stop."""

from __future__ import annotations

import threading
from collections.abc import Callable

StopCheck = Callable[[], str]
"""Return the stop reason, or '' to continue. Called often, so keep it cheap."""


def never_stopped() -> str:
    """Return '': nothing stops the work."""
    return ""


class StopRequest(threading.Event):
    """An event that requests a stop, and what asked for it.

    Args:
        origin: What asks for the stop, e.g. `SIGTERM`; '' until it is known.
        caller: An event of the caller, which requests the stop, too.
    """

    def __init__(self, origin: str = "", caller: threading.Event | None = None) -> None:
        super().__init__()
        self.origin = origin
        self._caller = caller

    def is_set(self) -> bool:
        """Return whether the stop was requested."""
        return super().is_set() or (self._caller is not None and self._caller.is_set())


def request_stop(event: threading.Event, origin: str) -> None:
    """Request a stop, and keep what asked for it first."""
    if isinstance(event, StopRequest) and not event.is_set():
        event.origin = origin
    event.set()


def describe_stop(reason: str, event: threading.Event) -> str:
    """Return a stop reason with what asked for the stop, if the event knows it."""
    origin = event.origin if isinstance(event, StopRequest) else ""
    return f"{reason} by {origin}" if origin else reason
