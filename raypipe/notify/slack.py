"""Notify a channel of Slack by an incoming webhook."""

from __future__ import annotations

from dataclasses import dataclass

from raypipe.notify.message import Message
from raypipe.notify.notifier import Notifier
from raypipe.notify.secret_url import check_url, check_variable, post_json

_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
"""Characters of Slack's markup: a title must not become a link or call everybody
(docs.slack.dev, "Formatting message text")."""


@dataclass(frozen=True, kw_only=True)
class SlackNotifier(Notifier):
    """Posts the text of each message to a channel.

    Args:
        url_env: Variable of the environment with the URL of the incoming webhook, a secret.

    Raises:
        ValueError: A setting is out of its range.
    """

    url_env: str = "RAYPIPE_SLACK_URL"

    def __post_init__(self) -> None:
        """Check the settings."""
        super().__post_init__()
        check_variable(self.url_env)

    def check_setup(self) -> None:
        """Check that the variable has a URL; errors as `Notifier.check_setup`."""
        check_url("notify=slack", self.url_env)

    def send(self, message: Message) -> None:
        """Post the text; errors as `Notifier.send`."""
        text = message.text
        for character, escape in _ESCAPES.items():
            text = text.replace(character, escape)
        post_json(self.url_env, {"text": text})
