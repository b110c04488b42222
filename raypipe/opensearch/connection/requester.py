"""The part of a connection that sends requests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class Requester(Protocol):
    """Sends requests to a server; see `Connection`, which implements it."""

    @property
    def endpoint(self) -> str:
        """URL of the server, for messages."""

    def send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Send one request without retries and return the decoded response."""

    def ask(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        body: Any = None,
        ignore: tuple[int, ...] = (),
    ) -> Any:
        """Send one idempotent request, with retries, and return the decoded response."""
