"""What the S3 server answers, and to whom: the server with an application of two lines."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from raypipe.embedded import peers
from raypipe.embedded.s3_server import OwnUserServer, refuse_web_pages


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Length", "5")])
    return [b"books"]


@pytest.fixture
def port() -> Iterator[int]:
    server = OwnUserServer("127.0.0.1", 0, refuse_web_pages(application))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join(60)
    server.server_close()


def ask(port: int, **headers: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("DELETE", "/books/1", headers=headers)
        return connection.getresponse().status
    finally:
        connection.close()


def test_only_the_owners_programs_get_an_answer(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ask(port) == 200
    assert ask(port, Host="attacker.example") == 403
    assert ask(port, Origin="http://attacker.example") == 403
    monkeypatch.setattr(peers, "read_owner", lambda *_: 12345)
    with pytest.raises((http.client.HTTPException, OSError)):
        ask(port)
