"""Limit concurrent bulk requests."""

from __future__ import annotations

from typing import Protocol


class Limiter(Protocol):
    """Permission to send a bulk request; acquired before each request, released after it."""

    def acquire(self) -> None:
        """Wait until a request may be sent."""

    def release(self, *, overloaded: bool) -> None:
        """Note that the request has ended, and whether the server refused it as overloaded."""


class NoLimiter:
    """A limiter for a single writer: never waits."""

    def acquire(self) -> None:
        """Return at once."""

    def release(self, *, overloaded: bool) -> None:
        """Do nothing."""
