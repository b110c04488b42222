"""Define what the supervisor needs to know about a service."""

from __future__ import annotations

from typing import Protocol


class EmbeddedService(Protocol):
    """A server process that the supervisor starts, shares and stops."""

    @property
    def name(self) -> str:
        """Short name, used for the log, the state file and the locks."""

    @property
    def version(self) -> str:
        """Version that would be started."""

    @property
    def startup_timeout_s(self) -> float:
        """Seconds until the service must answer."""

    def prepare_command(self) -> list[str]:
        """Prepare downloads and folders; return the command line."""

    def find_url(self) -> str | None:
        """Return the URL; None until the service has written the address it listens on."""

    def is_ready(self, url: str) -> bool:
        """Whether the service answers and can work."""

    def explain_failure(self, log_text: str) -> str | None:
        """Return the reason of a failed start found in the log, for messages, or None."""
