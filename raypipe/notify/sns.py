"""Notify the subscribers of a topic of Amazon SNS: mail, SMS, queues, chat."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from raypipe.coordination.background_sender import SendError
from raypipe.core.aws_reports import ReportService
from raypipe.core.errors import SetupError
from raypipe.core.redact import refuse_url_secret
from raypipe.notify.message import Message
from raypipe.notify.notifier import Notifier

_ARN = re.compile(r"arn:[\w-]+:sns:(?P<region>[\w-]+):\d+:[\w-]+")
_MAX_SUBJECT = 99
"""Characters; less than 100 (Amazon SNS API Reference, Publish)."""


@dataclass(frozen=True, kw_only=True)
class SnsNotifier(Notifier):
    """Publishes each message to a topic: its text, and the fields as attributes.

    Args:
        topic_arn: ARN of the topic, `arn:aws:sns:REGION:ACCOUNT:NAME`.
        profile: Profile of the AWS configuration; None for boto3's default.
        endpoint_url: URL of another server with the API of SNS; None for boto3's own settings.

    Raises:
        ValueError: A setting is out of its range.
    """

    topic_arn: str
    profile: str | None = None
    endpoint_url: str | None = None

    def __post_init__(self) -> None:
        """Check the settings."""
        super().__post_init__()
        if not _ARN.fullmatch(self.topic_arn):
            raise ValueError(
                f"topic_arn={self.topic_arn}: give the ARN of a standard topic, "
                "arn:aws:sns:REGION:ACCOUNT:NAME"
            )
        refuse_url_secret("endpoint_url", self.endpoint_url, "set a profile with the credentials")

    def check_setup(self) -> None:
        """Check profile and credentials; errors as `Notifier.check_setup`."""
        self._service.check_setup()

    def send(self, message: Message) -> None:
        """Publish the message; errors as `Notifier.send`."""
        attributes = {"event": message.event, "run_id": message.run_id, "status": message.status}
        try:
            self._service.client().publish(
                TopicArn=self.topic_arn,
                Subject=f"raypipe {message.run_id}: {message.event}"[:_MAX_SUBJECT],
                Message=f"{message.text}\n\n{json.dumps(message.describe(), indent=1)}",
                MessageAttributes={
                    name: {"DataType": "String", "StringValue": value}
                    for name, value in attributes.items()
                },
            )
        except SetupError as error:
            raise SendError(str(error)) from None
        except Exception as error:
            raise SendError(self._service.explain(error)) from None

    @property
    def _service(self) -> ReportService:
        match = _ARN.fullmatch(self.topic_arn)
        region = match["region"] if match else None
        settings = (region, self.profile, self.endpoint_url)
        return ReportService("notify=sns", "sns", "sns:Publish", *settings)
