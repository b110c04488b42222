"""Webhooks and Slack: what arrives, and that the URL is shown nowhere."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator

import pytest

from raypipe.coordination.background_sender import SendError
from raypipe.core.errors import SetupError
from raypipe.notify import secret_url
from raypipe.notify.alerts import Alerts
from raypipe.notify.message import Message
from raypipe.notify.slack import SlackNotifier
from raypipe.notify.webhook import WebhookNotifier
from tests.unit.notify.receiver import SECRET, Receiver, receive
from tests.unit.notify.records import RUN, record_of

WEBHOOK, SLACK = "RAYPIPE_WEBHOOK_URL", "RAYPIPE_SLACK_URL"
MESSAGE = Message("finish", RUN, "done", "Tom & Huck <!channel> is done", {"usd": 1.5})
PARTS = ("T024XAB", "B06YQ", "very-secret-path")


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with receive() as receiver:
        monkeypatch.setenv(WEBHOOK, receiver.url)
        monkeypatch.setenv(SLACK, receiver.url)
        yield receiver


@pytest.fixture(autouse=True)
def no_secret_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level(logging.DEBUG)
    yield
    text = "\n".join(record.getMessage() for record in caplog.get_records("call"))
    assert not any(part in text for part in PARTS), text


def test_a_webhook_gets_the_fields(receiver: Receiver) -> None:
    WebhookNotifier().send(MESSAGE)
    assert receiver.bodies == [
        {"event": "finish", "run_id": RUN, "status": "done", "text": MESSAGE.text, "usd": 1.5}
    ]
    assert receiver.headers[0]["Content-Type"] == "application/json"


def test_slack_gets_a_text_that_calls_nobody(receiver: Receiver) -> None:
    SlackNotifier().send(MESSAGE)
    assert receiver.bodies == [{"text": "Tom &amp; Huck &lt;!channel&gt; is done"}]


@pytest.mark.parametrize("status", [302, 404, 500])
def test_other_answers_are_errors_and_redirects_are_not_followed(
    receiver: Receiver, status: int
) -> None:
    receiver.status = status
    with pytest.raises(SendError) as caught:
        WebhookNotifier().send(MESSAGE)
    assert str(caught.value) == f"the receiver in {WEBHOOK} answered with HTTP {status}"
    assert len(receiver.bodies) == 1


def test_a_receiver_that_is_gone_or_hangs_is_an_error(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secret_url, "READ_S", 0.2)
    receiver.hangs = True
    with pytest.raises(SendError, match=r"^no answer within 0\.2 s$"):
        WebhookNotifier().send(MESSAGE)
    monkeypatch.setenv(WEBHOOK, f"http://127.0.0.1:1/{SECRET}")
    with pytest.raises(SendError, match=r"^the receiver cannot be reached$") as caught:
        WebhookNotifier().send(MESSAGE)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_a_hanging_receiver_is_one_warning_at_the_end_of_a_run(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.hangs = True
    alerts = Alerts({"webhook": WebhookNotifier()}).follow(RUN)
    began = time.monotonic()
    alerts.end(record_of())
    alerts.wait(0.5)
    assert time.monotonic() - began < 5
    warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [record.getMessage() for record in warnings] == [
        "notify.webhook: not sent: no answer in time; the run ends without it"
    ]
    receiver.released.set()
    alerts.wait(30)


@pytest.mark.parametrize("notifier", [WebhookNotifier(), SlackNotifier()])
@pytest.mark.parametrize("value", ["", "hooks.example/T024XAB", "ftp://h/T024XAB", "http://["])
def test_a_missing_url_is_one_line_that_does_not_show_it(
    notifier: WebhookNotifier | SlackNotifier, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(notifier.url_env, value)
    with pytest.raises(SetupError) as caught:
        notifier.check_setup()
    assert notifier.url_env in str(caught.value)
    assert "Fix: " in str(caught.value)
    assert not any(part in str(caught.value) for part in PARTS)
    monkeypatch.setenv(notifier.url_env, f"https://hooks.example/{SECRET}")
    notifier.check_setup()
    assert not any(part in repr(notifier) for part in PARTS)


def test_an_unusable_proxy_is_an_error_that_does_not_show_the_url(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(WEBHOOK, f"https://hooks.example/{SECRET}")
    monkeypatch.setenv("HTTPS_PROXY", "socks5://127.0.0.1:1")
    with pytest.raises(SendError, match=r"^the proxy or the certificates of the environment fail$"):
        WebhookNotifier().send(MESSAGE)


@pytest.mark.parametrize("kind", [WebhookNotifier, SlackNotifier])
def test_a_url_in_the_place_of_the_variable_is_refused_and_not_shown(
    kind: type[WebhookNotifier] | type[SlackNotifier],
) -> None:
    with pytest.raises(ValueError, match=r"^url_env must be the name of an") as caught:
        kind(url_env=f"https://hooks.example/{SECRET}")
    assert not any(part in str(caught.value) for part in PARTS)
