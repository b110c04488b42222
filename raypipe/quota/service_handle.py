"""Call the quota service where it runs: in a Ray actor, or in a thread of this process."""

from __future__ import annotations

from typing import Any, Protocol


class ServiceHandle(Protocol):
    """A running quota service."""

    def call(self, method: str, *args: Any) -> Any:
        """Call a method of `raypipe.quota.service.QuotaService` and return its result.

        Raises:
            ServiceDiedError: The service ended or does not answer; another can be started.
            ServiceClosedError: This process has ended the run, so no service is needed.
        """


class ServiceDiedError(Exception):
    """The quota service ended or does not answer."""


class ServiceClosedError(Exception):
    """The run of this process has ended."""
