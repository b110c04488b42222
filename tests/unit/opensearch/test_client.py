"""The connection: settings, secrets, pickling, and a one-line message for each failure."""

from __future__ import annotations

import pickle  # noqa: TID251 (Ray pickles parts to its workers)
import time
from typing import Any

import pytest

from raypipe.core import retry
from raypipe.core.errors import SetupError
from raypipe.opensearch.connection import client
from raypipe.opensearch.connection.client import Connection
from tests.unit.opensearch.stub import Reply, Stub, failed

SECRET = "hunter2-secret"
INFO = Reply(body={"version": {"number": "3.5.0"}})


@pytest.fixture(autouse=True)
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "full_jitter", lambda attempt, **_: 0.0)


@pytest.mark.parametrize(
    "endpoint", ["", "embedded", "localhost:9200", "ftp://host", "http://", "http://h:99999"]
)
def test_an_endpoint_that_is_no_url_is_refused(endpoint: str) -> None:
    with pytest.raises(ValueError, match="give one like https://host:9200"):
        Connection(endpoint)


def test_a_password_in_the_url_is_refused_and_not_repeated() -> None:
    with pytest.raises(ValueError, match=r"connection\.username") as caught:
        Connection(f"https://admin:{SECRET}@host:9200")
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(("setting", "value"), [("timeout_s", 0), ("threads", 0)])
def test_settings_out_of_range_are_named(setting: str, value: int) -> None:
    with pytest.raises(ValueError, match=f"connection.{setting}={value}"):
        Connection("http://host", **{setting: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("endpoint", "port"),
    [("http://host", 9200), ("https://host", 443), ("https://host:9200", 9200)],
)
def test_the_default_port_depends_on_the_scheme(endpoint: str, port: int) -> None:
    [host] = Connection(endpoint).client.transport.hosts
    assert host["port"] == port
    assert host["use_ssl"] == endpoint.startswith("https")


@pytest.mark.parametrize(
    ("endpoint", "compress", "gzip"),
    [
        ("http://127.0.0.1:9200", None, False),
        ("http://localhost:9200", None, False),
        ("http://[::1]:9200", None, False),
        ("https://search.example.com", None, True),
        ("https://search.example.com", False, False),
        ("http://127.0.0.1:9200", True, True),
    ],
)
def test_compression_is_the_default_except_on_loopback(
    endpoint: str, compress: bool | None, gzip: bool
) -> None:
    assert Connection(endpoint, compress=compress).gzip is gzip


def test_secrets_are_in_no_pickle_and_no_repr(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_PASSWORD", SECRET)
    connection = Connection(stub.url, username="admin", password_env="MY_PASSWORD")
    stub.paths["/"] = Reply(body={"version": {"number": "3.5.0"}})
    connection.info()  # creates the client, which is not pickled
    assert "authorization" in stub.requests[0].headers
    data = pickle.dumps(connection)
    assert SECRET.encode() not in data
    assert SECRET not in repr(connection)
    copy = pickle.loads(data)
    assert copy == connection
    assert copy.info()["version"]["number"] == "3.5.0"


def test_a_missing_password_names_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MY_PASSWORD", raising=False)
    with pytest.raises(SetupError, match="environment variable MY_PASSWORD"):
        Connection("http://host", username="admin", password_env="MY_PASSWORD").info()


def test_a_missing_file_of_certificates_is_named() -> None:
    with pytest.raises(SetupError, match=r"ca_certs=/no/such\.pem: no such file"):
        Connection("https://host", ca_certs="/no/such.pem").info()


def test_opensearch_py_does_not_retry(stub: Stub) -> None:
    stub.steps += [failed(503)] * 5
    with pytest.raises(Exception, match="503"):
        Connection(stub.url).send("POST", "/x/_bulk", body=b"{}\n")
    assert len(stub.requests) == 1


def test_a_busy_server_is_retried(stub: Stub) -> None:
    stub.steps += [failed(503), failed(429)]
    stub.always = lambda _request: Reply(body={"fine": True})
    assert Connection(stub.url).ask("POST", "/x/_bulk", body={}) == {"fine": True}


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (failed(401), "did not accept the user name and password"),
        (
            failed(403, "security_exception", "no permissions for [indices:admin/create]"),
            r"the user may not do this .*\[indices:admin/create\]",
        ),
        (failed(403, reason="not today"), r"status 403\): some_exception: not today"),
        (Reply(403, {"Message": "User: anonymous is not authorized"}), "opensearch=aws_managed"),
        (failed(503), r"stays unavailable \(status 503\): some_exception; try again later"),
        (Reply(200, b"<html>", "text/html"), "not as OpenSearch does"),
        (Reply(200, b"hello", "text/plain"), "not as OpenSearch does"),
        (Reply(200, {"hello": 1}), "not as OpenSearch does"),
        (failed(404), "not as OpenSearch does"),
    ],
)
def test_each_failure_is_one_line_with_the_endpoint(stub: Stub, reply: Reply, words: str) -> None:
    stub.paths["/"] = reply
    with pytest.raises(SetupError, match=words) as caught:
        Connection(stub.url).info()
    assert stub.url in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("endpoint", "words"),
    [
        ("http://127.0.0.1:1", "Connection refused"),
        ("http://no-such-host.invalid:9200", "cannot be reached"),
    ],
)
def test_an_unreachable_server_fails_at_once(endpoint: str, words: str) -> None:
    with pytest.raises(SetupError, match=words) as caught:
        Connection(endpoint).info()
    assert endpoint in str(caught.value)
    assert "opensearch.endpoint" in str(caught.value)


def test_tls_to_a_server_without_tls_names_the_fix(stub: Stub) -> None:
    with pytest.raises(SetupError, match=r"TLS failed .* opensearch.endpoint to http://"):
        Connection(stub.url.replace("http:", "https:")).info()


def test_a_timeout_names_its_seconds(stub: Stub) -> None:
    def hang(_request: Any) -> Reply:
        finish.wait(1.0)
        return Reply()

    import threading

    finish = threading.Event()
    stub.always = hang
    with pytest.raises(SetupError, match=r"no answer within 0\.1 s"):
        Connection(stub.url, timeout_s=0.1).ask("POST", "/x/_bulk", body=b"")
    finish.set()


def test_a_server_that_has_answered_before_is_retried_longer(
    stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub.paths["/"] = INFO
    connection = Connection(stub.url)
    assert connection.info()
    stub.close()
    connection.renew()  # the stub's thread still serves the open connection
    restarted: list[Stub] = []

    def restart_at_attempt_8(attempt: int, **_: float) -> float:
        if attempt == 8:  # more than the attempts for a busy server
            restarted.append(Stub(stub.port))
            restarted[0].paths["/"] = INFO
        return 0.01

    monkeypatch.setattr(retry, "full_jitter", restart_at_attempt_8)
    assert connection.info()
    restarted[0].close()
    connection.renew()
    monkeypatch.setattr(client, "RESTART_S", 0.0)
    with pytest.raises(SetupError, match="cannot be reached"):
        connection.info()


def test_a_copy_for_a_user_who_waits_reports_an_unreachable_server_at_once(stub: Stub) -> None:
    stub.paths["/"] = INFO
    patient = Connection(stub.url, timeout_s=7.0)
    connection = patient.without_restart_wait()
    assert (connection, connection.timeout_s) == (patient, 7.0)
    assert connection.info()
    stub.close()
    connection.renew()  # the stub's thread still serves the open connection
    began = time.monotonic()
    with pytest.raises(SetupError, match="cannot be reached"):
        connection.info()
    assert time.monotonic() - began < 5


def test_connections_with_the_same_settings_share_a_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENSEARCH_PASSWORD", "first")
    connection = Connection("http://127.0.0.1:9", username="reader")
    client = connection.client
    assert Connection("http://127.0.0.1:9", username="reader").client is client
    assert pickle.loads(pickle.dumps(connection)).client is client
    assert Connection("http://127.0.0.1:9", username="writer").client is not client
    connection.renew()
    assert connection.client is not client, "the credentials are read again"
    renewed = connection.client
    monkeypatch.setenv("OPENSEARCH_PASSWORD", "second")
    assert connection.client is not renewed, "the environment has another password"
