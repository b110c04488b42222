"""Notify a web server: the message as a JSON object."""

from __future__ import annotations

from dataclasses import dataclass

from raypipe.notify.message import Message
from raypipe.notify.notifier import Notifier
from raypipe.notify.secret_url import check_url, check_variable, post_json


@dataclass(frozen=True, kw_only=True)
class WebhookNotifier(Notifier):
    """Posts each message as a JSON object.

    Args:
        url_env: Variable of the environment with the URL, which is a secret.

    Raises:
        ValueError: A setting is out of its range.
    """

    url_env: str = "RAYPIPE_WEBHOOK_URL"

    def __post_init__(self) -> None:
        """Check the settings."""
        super().__post_init__()
        check_variable(self.url_env)

    def check_setup(self) -> None:
        """Check that the variable has a URL; errors as `Notifier.check_setup`."""
        check_url("notify=webhook", self.url_env)

    def send(self, message: Message) -> None:
        """Post the message; errors as `Notifier.send`."""
        post_json(self.url_env, message.describe())
