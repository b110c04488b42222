from __future__ import annotations

import os

import pytest

from raypipe.core.errors import SetupError
from raypipe.core.proxy import loopback_without_proxy, proxy_for

VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.parametrize(
    ("url", "proxy"),
    [
        ("https://example.org/x", "http://secure:1"),
        ("http://example.org", "http://plain:2"),
        ("https://search.corp:9200", None),
        ("https://deep.search.corp", None),
        ("https://notcorp", "http://secure:1"),
        ("https://10.2.3.4", None),
        ("https://11.2.3.4", "http://secure:1"),
        ("https://[fd00::1]:9200", None),
        ("https://[fe00::1]:9200", "http://secure:1"),
        ("https://me:password@search.corp", None),
        ("https://localhost:1", None),
        ("https://a.localhost", None),
        ("https://localhost.example.org", "http://secure:1"),
        ("https://127.0.0.1", None),
        ("https://127.99.3.1:9200", None),
        ("https://127.example.org", "http://secure:1"),
        ("http://[::1]:9200", None),
        ("http://[::ffff:127.0.0.1]:9200", None),
    ],
)
def test_the_proxy_of_a_url(url: str, proxy: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://secure:1")
    monkeypatch.setenv("http_proxy", "plain:2")
    monkeypatch.setenv("NO_PROXY", "corp, no/network, 10.0.0.0/8,fd00::/8")
    assert proxy_for(url) == proxy


def test_all_proxy_is_the_proxy_of_the_other_schemes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert proxy_for("https://example.org") is None
    monkeypatch.setenv("ALL_PROXY", "http://all:3")
    monkeypatch.setenv("https_proxy", "http://secure:1")
    assert proxy_for("https://example.org") == "http://secure:1"
    assert proxy_for("http://example.org") == "http://all:3"
    monkeypatch.setenv("NO_PROXY", "*")
    assert proxy_for("https://example.org") is None


@pytest.mark.parametrize(
    "proxy", ["socks5://me:pa55@proxy:1", "http://me:pa/55@proxy", "http://me:pa55@", "http://x:0"]
)
@pytest.mark.parametrize("name", ["HTTPS_PROXY", "all_proxy"])
def test_an_unusable_proxy(name: str, proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, proxy)
    with pytest.raises(SetupError, match=f"the variable {name} names no proxy") as caught:
        proxy_for("https://example.org")
    assert "55" not in str(caught.value)
    assert proxy_for("https://127.0.0.1") is None


def test_processes_reach_this_machine_directly(monkeypatch: pytest.MonkeyPatch) -> None:
    before = dict(os.environ)
    with loopback_without_proxy():
        assert dict(os.environ) == before, "without a proxy, nothing changes"
    monkeypatch.setenv("HTTP_PROXY", "http://proxy:1")
    monkeypatch.setenv("NO_PROXY", "corp")
    before = dict(os.environ)
    with loopback_without_proxy():
        assert os.environ["NO_PROXY"] == os.environ["no_proxy"]
        assert os.environ["no_proxy"].split(",")[:3] == ["corp", "localhost", "127.0.0.0/8"]
    assert dict(os.environ) == before
