"""What all notifiers share: about what they notify, and how they are checked and sent."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

from raypipe.notify.message import EVENTS, Message


@dataclass(frozen=True, kw_only=True)
class Notifier(ABC):
    """Sends messages about runs to a receiver.

    Args:
        events: What to notify about; see `raypipe.notify.message.EVENTS`.
        failed_share: Notify about failures once this share of the books with an outcome has
            failed, from 0 to 1.

    Raises:
        ValueError: A setting is out of its range.
    """

    events: list[str] = field(default_factory=lambda: list(EVENTS))
    failed_share: float = 0.1

    def __post_init__(self) -> None:
        """Check the settings."""
        if unknown := [event for event in self.events if event not in EVENTS]:
            raise ValueError(f"events={unknown[0]}: choose from {', '.join(EVENTS)}")
        if not 0 <= self.failed_share < 1:
            raise ValueError(f"failed_share={self.failed_share} is not from 0 to 1")

    @abstractmethod
    def check_setup(self) -> None:
        """Check variables, region and credentials; no request is made.

        Raises:
            SetupError: Something is missing; the message says how to set it, without secrets.
        """

    @abstractmethod
    def send(self, message: Message) -> None:
        """Send a message; called in a thread, one message after another.

        Raises:
            SendError: It was not delivered; the text holds no secret.
        """
