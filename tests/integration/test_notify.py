"""Notifications of whole runs, and of senders behind TLS and proxies."""

from __future__ import annotations

import json
import logging
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from raypipe.coordination import watchers
from raypipe.coordination.background_sender import SendError
from raypipe.core.certificates import VARIABLES
from raypipe.core.errors import SetupError
from raypipe.notify.message import Message
from raypipe.notify.webhook import WebhookNotifier
from tests.integration.corporate_proxy import CorporateProxy, serve_proxy
from tests.integration.raypipe_command import Project, write_book
from tests.integration.tls_proxy import Certificates
from tests.unit.notify.receiver import SECRET, Receiver, receive

WEBHOOK, SLACK = "RAYPIPE_WEBHOOK_URL", "RAYPIPE_SLACK_URL"
MESSAGE = Message("finish", "r1", "done", "done")
BOTH = "notify=[webhook,slack]"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start without proxies and certificates."""
    names = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
    for name in (*names, *map(str.lower, names), *VARIABLES, "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def receivers(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Receiver, Receiver]]:
    with receive() as webhook, receive() as slack:
        monkeypatch.setenv(WEBHOOK, webhook.url)
        monkeypatch.setenv(SLACK, slack.url)
        yield webhook, slack


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path, "no index")
    write_book(project.books, "A_Book")
    return project


def run(project: Project, *options: str, code: int = 0) -> dict[str, Any]:
    return project.run("opensearch=none", BOTH, *options, code=code)


def test_a_run_notifies_both_and_its_url_is_kept_nowhere(
    project: Project, receivers: tuple[Receiver, Receiver], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    webhook, slack = receivers
    record = run(project)
    (body,) = webhook.bodies
    assert (body["event"], body["run_id"], body["finished"]) == ("finish", record["run_id"], 1)
    assert slack.bodies == [{"text": body["text"]}]
    assert run(project)["skipped"] == 1
    assert len(webhook.bodies) == 1, "a run without anything to do notifies nobody"
    config = project.state / "runs" / record["run_id"] / "config.yaml"
    assert f"url_env: {WEBHOOK}" in config.read_text()
    assert SECRET not in caplog.text
    files = [path for path in project.folder.rglob("*") if path.is_file()]
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]


def test_a_run_that_the_breaker_stops_says_so(
    project: Project, receivers: tuple[Receiver, Receiver]
) -> None:
    for number in range(3):
        (project.books / f"{number}.txt").write_bytes(bytes(range(256)) * 20)
    (project.books / "A_Book__by__Author_A_Book.txt").unlink()
    run(project, "breaker.first=3", code=4)
    (body,) = receivers[0].bodies
    assert (body["event"], body["status"], body["exit_code"]) == ("breaker", "stopped", 4)
    assert body["failures"] == {"binary": 3}
    assert "the first 3 books all failed alike" in body["text"]


def test_an_error_after_the_start_is_a_stop(
    project: Project, receivers: tuple[Receiver, Receiver]
) -> None:
    run(project)
    with pytest.raises(SetupError):
        run(project, "storage.path=/nowhere")
    done, error = receivers[0].bodies
    assert (done["event"], error["event"], error["status"]) == ("finish", "stop", "error")
    assert "storage.path=/nowhere is not a folder; set it to the folder" in error["text"]


def test_failing_and_hanging_receivers_do_not_harm_a_run(
    project: Project,
    receivers: tuple[Receiver, Receiver],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(watchers.end_watchers, "__defaults__", (0.5,))
    webhook, slack = receivers
    webhook.hangs, slack.status = True, 500
    began = time.monotonic()
    assert run(project)["exit_code"] == 0
    assert time.monotonic() - began < 60
    warnings = {record.getMessage() for record in caplog.records if "not sent" in record.message}
    assert warnings == {
        "notify.webhook: not sent: no answer in time; the run ends without it",
        f"notify.slack: not sent: the receiver in {SLACK} answered with HTTP 500",
    }


def test_tls_is_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificates = Certificates(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.issue("server", "127.0.0.1"))
    with receive(context) as receiver:
        monkeypatch.setenv(WEBHOOK, receiver.url)
        with pytest.raises(SendError, match=r"^TLS fails: the receiver's certificate"):
            WebhookNotifier().send(MESSAGE)
        assert receiver.bodies == []
        monkeypatch.setenv("SSL_CERT_FILE", str(certificates.authority))
        WebhookNotifier().send(MESSAGE)
    assert json.loads(json.dumps(receiver.bodies)) == [MESSAGE.describe()]


def test_a_proxy_with_a_login_and_a_private_authority(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = "hooks.corp.test"
    certificates = Certificates(tmp_path)
    with receive() as receiver:
        here = receiver.url.partition("/services")[0]
        proxy = CorporateProxy(certificates.issue("servers", host), {host: here}, "clerk:p@ss/w0rd")
        with serve_proxy(proxy):
            monkeypatch.setenv(WEBHOOK, f"https://{host}/services/{SECRET}")
            monkeypatch.setenv("SSL_CERT_FILE", str(certificates.authority))
            address = proxy.url.removeprefix("http://")
            monkeypatch.setenv("HTTPS_PROXY", f"http://clerk:p%40ss%2Fw0rd@{address}")
            WebhookNotifier().send(MESSAGE)
            monkeypatch.setenv("HTTPS_PROXY", f"http://{address}")
            with pytest.raises(SendError) as caught:
                WebhookNotifier().send(MESSAGE)
    assert receiver.bodies == [MESSAGE.describe()]
    assert proxy.targets == [f"{host}:443"] * 2
    assert str(caught.value) == "the proxy of the environment fails"
