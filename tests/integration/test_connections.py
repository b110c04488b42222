"""TLS and each kind of authentication, in front of the real node."""

from __future__ import annotations

import base64
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from raypipe.core import retry
from raypipe.core.errors import SetupError
from raypipe.opensearch.connection.client import Connection
from tests.integration.raypipe_command import Project, write_book
from tests.integration.tls_proxy import Certificates, TlsProxy, serve_tls

USER, PASSWORD = "reader", "test"  # the password in the environment of the tests' workers


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    folder = tmp_path / "certificates"
    folder.mkdir()
    return Certificates(folder)


@pytest.fixture
def server(opensearch_url: str, certificates: Certificates) -> Iterator[TlsProxy]:
    with serve_tls(opensearch_url, certificates.issue("server", "127.0.0.1")) as proxy:
        yield proxy


@pytest.fixture(autouse=True)
def no_retry_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "full_jitter", lambda attempt, **_: 0.0)


def basic_authorization(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def test_a_run_over_tls_with_user_and_password(
    project: Project,
    server: TlsProxy,
    certificates: Certificates,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENSEARCH_PASSWORD", PASSWORD)
    server.authorization = basic_authorization(USER, PASSWORD)
    for number in range(3):
        write_book(project.books, f"Book_{number}")
    options = [
        f"opensearch.endpoint={server.url}",
        f"opensearch.connection.username={USER}",
        f"opensearch.connection.ca_certs={certificates.authority}",
    ]
    assert project.run(*options)["indexed"] == 3
    assert server.refused == []
    assert len(project.documents()) == 3
    contents = [path.read_bytes() for path in project.state.rglob("*") if path.is_file()]
    assert contents
    assert not any(server.authorization.encode() in content for content in contents)


@pytest.mark.parametrize(("kind", "word"), [("bearer", "Bearer"), ("api_key", "ApiKey")])
def test_a_token_is_accepted_and_a_wrong_token_is_not_shown(
    server: TlsProxy,
    certificates: Certificates,
    kind: str,
    word: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server.authorization = f"{word} a-token"
    monkeypatch.setenv("OPENSEARCH_TOKEN", "a-token")
    assert Connection(server.url, token=kind, ca_certs=str(certificates.authority)).info()
    monkeypatch.setenv("OPENSEARCH_TOKEN", "another")
    with pytest.raises(SetupError, match="did not accept the token") as caught:
        Connection(server.url, token=kind, ca_certs=str(certificates.authority)).info()
    assert "another" not in str(caught.value)


def test_a_refused_token_is_read_again_from_its_file(
    server: TlsProxy, certificates: Certificates, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text("first\n")
    server.authorization = "Bearer first"
    connection = Connection(
        server.url, token="bearer", token_file=str(file), ca_certs=str(certificates.authority)
    )
    assert connection.info()
    file.write_text("second\n")
    server.authorization = "Bearer second"
    assert connection.info()
    assert server.refused == ["Bearer first"]


def test_a_client_certificate_is_required_and_accepted(
    opensearch_url: str, certificates: Certificates
) -> None:
    client_cert = certificates.issue("client")
    authority = str(certificates.authority)
    server_cert = certificates.issue("server", "127.0.0.1")
    with serve_tls(opensearch_url, server_cert, clients=certificates.authority) as server:
        assert Connection(server.url, ca_certs=authority, client_cert=str(client_cert)).info()
        with pytest.raises(SetupError, match=server.url):
            Connection(server.url, ca_certs=authority).info()


def test_an_untrusted_certificate_and_a_wrong_host_are_refused(
    opensearch_url: str,
    server: TlsProxy,
    certificates: Certificates,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with pytest.raises(
        SetupError, match=r"TLS failed \(unable to get local issuer.*ca_certs="
    ) as caught:
        Connection(server.url).info()
    assert "\n" not in str(caught.value)
    other_cert = certificates.issue("other", "books.example.org")
    with serve_tls(opensearch_url, other_cert) as other_host:
        with pytest.raises(SetupError, match="not valid for"):
            Connection(other_host.url, ca_certs=str(certificates.authority)).info()
        with caplog.at_level(logging.WARNING, "raypipe"):
            assert Connection(other_host.url, verify_certs=False).info()
        assert "its certificate is not verified" in caplog.text
