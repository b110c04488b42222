"""The server: its ports and addresses, and how it ends."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
import urllib.request
from pathlib import Path

import pytest

from raypipe.core.errors import OptionError
from raypipe.opensearch.search import Hit
from raypipe.web import server
from raypipe.web.parameters import MAX_QUERY
from raypipe.web.server import PageServer, format_url, listen
from tests.unit.web.page_here import Page


def test_the_next_free_port_is_used() -> None:
    with listen("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with listen("127.0.0.1", port) as second:
            assert port < second.getsockname()[1] < port + server.PORTS
            assert format_url(second) == f"http://127.0.0.1:{second.getsockname()[1]}"


def test_wrong_hosts_and_ports_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for host in ("192.0.2.1", "no.such.host.invalid"):
        with pytest.raises(OptionError, match=f"host={host} port=8000: "):
            listen(host, 8000)
    monkeypatch.setattr(server, "PORTS", 1)
    with listen("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(
            OptionError, match=f"port={port}: the ports {port} to {port} are in use"
        ):
            listen("127.0.0.1", port)


def test_addresses_for_browsers() -> None:
    with listen("0.0.0.0", 0) as everywhere:
        assert format_url(everywhere).startswith("http://127.0.0.1:")
    if socket.has_ipv6:
        try:
            listener = listen("::1", 0)
        except OptionError:
            pytest.skip("no IPv6 here")
        with listener:
            assert format_url(listener).startswith("http://[::1]:")


def test_pages_are_served_until_the_context_ends(page: Page) -> None:
    listener = listen("127.0.0.1", 0)
    url = format_url(listener)
    longest = f"{url}/api/search?q={'%F0%9F%8F%B0' * MAX_QUERY}"
    with PageServer(page.app, listener):
        for address in (url, longest):
            with urllib.request.urlopen(address, timeout=30) as response:
                assert response.status == 200
                assert "server" not in response.headers
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(url, timeout=5)


def test_a_request_that_hangs_does_not_hold_the_end_up(page: Page) -> None:
    page.searcher.delay_s = 20.0
    listener = listen("127.0.0.1", 0)
    url = format_url(listener)

    def call() -> None:
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"{url}/?q=x", timeout=30)

    with PageServer(page.app, listener):
        threading.Thread(target=call, daemon=True).start()
        end = time.monotonic() + 30
        while not page.searcher.asked and time.monotonic() < end:
            time.sleep(0.01)
        began = time.monotonic()
    assert page.searcher.asked
    assert time.monotonic() - began < 2.0


def test_many_readers_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = Page(tmp_path)
    together = threading.Barrier(20, timeout=30)

    def find(*_: object) -> list[Hit]:
        together.wait()  # breaks if the requests are answered one after another
        return []

    monkeypatch.setattr(page.searcher, "find", find)
    listener = listen("127.0.0.1", 0)
    with PageServer(page.app, listener):
        url = f"{format_url(listener)}/api/search?q=x"
        answers: list[int] = []

        def call() -> None:
            with urllib.request.urlopen(url, timeout=30) as response:
                answers.append(response.status)

        threads = [threading.Thread(target=call) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers == [200] * 20
