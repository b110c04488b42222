from __future__ import annotations

import pytest

from raypipe.core.net import is_loopback, is_loopback_literal, is_sent_for_web_page


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("localhost.localdomain", True),
        ("127.0.0.1", True),
        ("127.1", True),
        ("::1", True),
        ("0:0:0:0:0:0:0:1", True),
        ("", False),
        ("10.0.0.1", False),
        ("::2", False),
        ("search.example.org", False),
    ],
)
def test_loopback_hosts_are_recognized(host: str, expected: bool) -> None:
    assert is_loopback(host) == expected


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.93.201.14", "::1"])
def test_hosts_that_no_site_can_have(host: str) -> None:
    assert is_loopback_literal(host)


@pytest.mark.parametrize("host", ["", "localhost.example", "127.example", "127.1", "10.0.0.1", "x"])
def test_hosts_that_a_site_can_have(host: str) -> None:
    assert not is_loopback_literal(host)


@pytest.mark.parametrize(
    ("host", "origin", "fetch_site", "expected"),
    [
        ("127.93.201.14:41873", "", "", False),
        ("localhost:9200", "", "", False),  # a tunnel
        ("[::1]:9200", "", "", False),
        ("LOCALHOST:9200", "", "", False),
        ("127.0.0.1:9200", "", "none", False),  # typed into the address bar
        ("127.0.0.1:9200", "", "same-origin", False),
        ("", "", "", True),
        ("attacker.example:9200", "", "", True),
        ("127.0.0.1.attacker.example", "", "", True),
        ("localhost@attacker.example", "", "", True),
        ("[::1", "", "", True),
        ("127.0.0.1:9200", "http://attacker.example", "", True),
        ("127.0.0.1:9200", "null", "", True),
        ("127.0.0.1:9200", "http://localhost:8000", "", True),
        ("127.0.0.1:9200", "", "cross-site", True),
        ("127.0.0.1:9200", "", "same-site", True),
    ],
)
def test_requests_for_web_pages_are_recognized(
    host: str, origin: str, fetch_site: str, expected: bool
) -> None:
    assert is_sent_for_web_page(host, origin, fetch_site) == expected
