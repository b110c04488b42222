"""A topic of SNS, with moto in this process."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.sns.models import sns_backends

from raypipe.coordination.background_sender import SendError
from raypipe.core.errors import SetupError
from raypipe.notify.message import Message
from raypipe.notify.sns import SnsNotifier
from tests.unit.notify.records import RUN

REGION = "eu-west-1"
MESSAGE = Message("breaker", RUN, "stopped", "raypipe stopped\tearly", {"usd": 1.5})


@pytest.fixture
def topic(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with mock_aws():
        yield boto3.client("sns", REGION).create_topic(Name="books")["TopicArn"]


def test_a_topic_gets_the_text_the_fields_and_attributes(topic: str) -> None:
    notifier = SnsNotifier(topic_arn=topic)
    notifier.check_setup()
    notifier.send(MESSAGE)
    backend: Any = sns_backends[DEFAULT_ACCOUNT_ID][REGION]
    ((_, body, subject, attributes, *_),) = backend.topics[topic].sent_notifications
    assert subject == f"raypipe {RUN}: breaker"
    text, _, fields = body.partition("\n\n")
    assert text == MESSAGE.text
    assert json.loads(fields) == MESSAGE.describe()
    assert {name: item["Value"] for name, item in attributes.items()} == {
        "event": "breaker",
        "run_id": RUN,
        "status": "stopped",
    }


def test_a_topic_that_does_not_exist_is_one_line(topic: str) -> None:
    with pytest.raises(SendError, match=r"^NotFound: \w+ does not exist$"):
        SnsNotifier(topic_arn=f"{topic}-not").send(MESSAGE)


def test_a_server_that_is_gone_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    arn = f"arn:aws:sns:{REGION}:{DEFAULT_ACCOUNT_ID}:books"
    notifier = SnsNotifier(topic_arn=arn, endpoint_url="http://127.0.0.1:1")
    with pytest.raises(SendError, match=r"^the server cannot be reached$"):
        notifier.send(MESSAGE)


@pytest.mark.parametrize("arn", ["books", "arn:aws:s3:::books", f"arn:aws:sns:{REGION}:1:b.fifo"])
def test_a_wrong_topic_is_refused(arn: str) -> None:
    with pytest.raises(ValueError, match=r"^topic_arn=.*: give the ARN of a standard topic"):
        SnsNotifier(topic_arn=arn)


def test_missing_credentials_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("botocore.session.Session.get_credentials", lambda self: None)
    with pytest.raises(SetupError, match=r"^notify=sns: there are no credentials; set a profile"):
        SnsNotifier(topic_arn=f"arn:aws:sns:{REGION}:1:books").check_setup()
