"""Each client behind a company's proxy with a private authority, and beside servers on loopback."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from raypipe.core import retry
from raypipe.core.certificates import VARIABLES
from raypipe.core.errors import SetupError
from raypipe.core.s3 import S3Connection, _create_client
from raypipe.models import bedrock_client, openai_client
from raypipe.models.bedrock import BedrockChat
from raypipe.models.openai import OpenAIChat
from raypipe.models.protocol import ModelError
from raypipe.opensearch.connection.client import Connection
from raypipe.simulator.model_server import ModelServer
from raypipe.simulator.options import ServerOptions
from tests.integration.corporate_proxy import CorporateProxy, serve_proxy
from tests.integration.model_clients import QUESTION, bedrock, openai
from tests.integration.tls_proxy import Certificates

PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
NOBODY = "http://127.0.0.1:9"
LOGIN, PASSWORD = "clerk", "p%40ss%2Fw0rd"  # as in a URL
INFO = b'{"version": {"number": "3.0.0", "distribution": "opensearch"}}'
LISTING = b"<ListBucketResult><Name>books</Name><IsTruncated>false</IsTruncated></ListBucketResult>"


class Handler(BaseHTTPRequestHandler):
    """Answers as OpenSearch at `/`, and as S3 elsewhere."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        is_search = self.path == "/" and "s3" not in self.headers["host"]
        self.send_response(200)
        self.send_header("content-type", "application/json" if is_search else "application/xml")
        body = INFO if is_search else LISTING
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""


@pytest.fixture(scope="module")
def web() -> Iterator[int]:
    """Serve OpenSearch and S3 on every address of this machine's loopback; yield the port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    other = ThreadingHTTPServer(("127.0.0.5", server.server_port), Handler)
    servers = (server, other)
    threads = [
        threading.Thread(target=each.serve_forever, args=(0.02,), daemon=True) for each in servers
    ]
    for thread in threads:
        thread.start()
    yield server.server_port
    for each in servers:
        each.shutdown()
        each.server_close()


@pytest.fixture(scope="module")
def models() -> Iterator[str]:
    with ModelServer(ServerOptions()) as running:
        yield running.url


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def proxy(web: int, models: str, certificates: Certificates) -> Iterator[CorporateProxy]:
    names = ("search", "s3", "books.s3", "bedrock", "openai")
    hosts = [f"{name}.corp.test" for name in names]
    here = f"http://127.0.0.1:{web}"
    servers = {host: models if host[:2] in ("be", "op") else here for host in hosts}
    made = CorporateProxy(certificates.issue("servers", *hosts), servers)
    with serve_proxy(made):
        yield made


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Start without proxies, certificates and profiles, and without the clients of other tests."""
    names = (*PROXY_VARIABLES, "NO_PROXY", *map(str.lower, (*PROXY_VARIABLES, "NO_PROXY")))
    for name in (*names, *VARIABLES, "SSL_CERT_DIR", "AWS_PROFILE", "AWS_BEARER_TOKEN_BEDROCK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(retry, "full_jitter", lambda attempt, **_: 0.0)
    # The model server takes requests to these hosts for those of a web page.
    monkeypatch.setattr("raypipe.simulator.router.is_sent_for_web_page", lambda *_: False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "OPENAI_API_KEY"):
        monkeypatch.setenv(name, "test")
    caches = (_create_client, bedrock_client._create_client, openai_client._create_client)
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


def ask_opensearch(url: str) -> None:
    assert Connection(url).info()["version"]["number"] == "3.0.0"


def ask_s3(url: str) -> None:
    client = S3Connection(endpoint_url=url, region="us-east-1").client(attempts=1)
    assert client.list_objects_v2(Bucket="books")["Name"] == "books"


def ask_bedrock(url: str) -> None:
    assert bedrock(url).call(QUESTION).text


def ask_openai(url: str) -> None:
    assert openai(url).call(QUESTION).text


CLIENTS: dict[str, Callable[[str], None]] = {
    "search": ask_opensearch,
    "s3": ask_s3,
    "bedrock": ask_bedrock,
    "openai": ask_openai,
}
CLIENT = pytest.mark.parametrize("name", CLIENTS)


@CLIENT
@pytest.mark.parametrize("variable", VARIABLES)
def test_a_proxy_with_a_login_and_a_private_authority(
    name: str,
    variable: str,
    proxy: CorporateProxy,
    certificates: Certificates,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    proxy.login = f"{LOGIN}:p@ss/w0rd"
    monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("//", f"//{LOGIN}:{PASSWORD}@"))
    monkeypatch.setenv(variable, str(certificates.authority))
    CLIENTS[name](f"https://{name}.corp.test")
    assert all(target.endswith(f"{name}.corp.test:443") for target in proxy.targets)
    assert proxy.targets


@CLIENT
@pytest.mark.parametrize("variable", ["http_proxy", "ALL_PROXY"])
def test_a_proxy_for_plain_http(
    name: str, variable: str, proxy: CorporateProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, proxy.url)
    CLIENTS[name](f"http://{name}.corp.test:8080")
    assert all("corp.test:8080" in target for target in proxy.targets)
    assert proxy.targets


@CLIENT
def test_a_private_authority_must_be_named(
    name: str, proxy: CorporateProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    with pytest.raises(Exception, match=r"(?i)ssl|tls|certificate|no connection"):
        CLIENTS[name](f"https://{name}.corp.test")


@CLIENT
def test_the_password_of_a_proxy_is_in_no_message(
    name: str,
    proxy: CorporateProxy,
    certificates: Certificates,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.authority))
    proxy.login = "another:login"
    for url in (proxy.url, NOBODY, "socks5://127.0.0.1:1080", "http://127.0.0.1:port"):
        monkeypatch.setenv("HTTPS_PROXY", url.replace("//", f"//{LOGIN}:{PASSWORD}@"))
        for cache in (
            _create_client,
            bedrock_client._create_client,
            openai_client._create_client,
        ):
            cache.cache_clear()
        with pytest.raises(Exception) as caught:  # noqa: PT011 - of four libraries
            CLIENTS[name](f"https://{name}.corp.test")
        assert "w0rd" not in str(caught.value)
        if not url.startswith("http://127.0.0.1:") or url.endswith("port"):
            assert isinstance(caught.value, SetupError)
            assert "the variable HTTPS_PROXY names no proxy" in str(caught.value)
        elif name in ("bedrock", "openai"):
            assert isinstance(caught.value, ModelError)
        elif name == "search":
            assert "through the proxy in HTTPS_PROXY" in str(caught.value)


@CLIENT
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.0.0.5"])
def test_no_proxy_for_loopback(
    name: str, host: str, web: int, models: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_model = name in ("bedrock", "openai")
    if is_model and host == "127.0.0.5":
        pytest.skip("the model server listens on 127.0.0.1 alone")
    for variable in PROXY_VARIABLES:
        monkeypatch.setenv(variable, NOBODY)
        monkeypatch.setenv(variable.lower(), NOBODY)
    port = models.rpartition(":")[2] if is_model else web
    CLIENTS[name](f"http://{host}:{port}")


def test_an_endpoint_from_the_environment_is_on_loopback(
    models: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in PROXY_VARIABLES:
        monkeypatch.setenv(variable, NOBODY)
    monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", models)
    monkeypatch.setenv("OPENAI_BASE_URL", f"{models}/v1")
    assert BedrockChat("us.amazon.nova-lite-v1:0", region="us-east-1").call(QUESTION).text
    assert OpenAIChat("some-model").call(QUESTION).text


@CLIENT
def test_excluded_hosts_are_reached_directly(
    name: str, proxy: CorporateProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    monkeypatch.setenv("NO_PROXY", "example.org, .corp.test")
    with pytest.raises(Exception):  # noqa: B017, PT011 - the host has no address
        CLIENTS[name](f"http://{name}.corp.test")
    assert proxy.targets == []


@CLIENT
def test_a_missing_file_of_certificates_is_named(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "gone.pem"))
    with pytest.raises(SetupError, match=r"^SSL_CERT_FILE=.*gone\.pem: there is no such file"):
        CLIENTS[name](f"https://{name}.corp.test")


def test_the_option_wins_over_the_environment(
    proxy: CorporateProxy,
    certificates: Certificates,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "other"
    folder.mkdir()
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    monkeypatch.setenv("SSL_CERT_FILE", str(Certificates(folder).authority))
    url = "https://search.corp.test"
    assert Connection(url, ca_certs=str(certificates.authority)).info()
    with pytest.raises(SetupError, match="TLS failed"):
        Connection(url).info()
