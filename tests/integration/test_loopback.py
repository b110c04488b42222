"""The embedded node: it listens on a loopback address that no page can guess, for its own user."""

from __future__ import annotations

import http.client
import json
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from raypipe.core.net import is_loopback_literal

NOBODY = 65534
ASK_AS = """
import os, socket, sys
os.setuid({user})
connection = socket.socket()
connection.connect((b"{host}", {port}))  # a string would load a codec, as another user
connection.sendall(b"GET / HTTP/1.1\\r\\nHost: {host}\\r\\nConnection: close\\r\\n\\r\\n")
print(connection.recv(1000))
"""


@pytest.fixture
def node(opensearch_url: str) -> Iterator[http.client.HTTPConnection]:
    if "RAYPIPE_TEST_OPENSEARCH" in os.environ:
        pytest.skip("the node is not an embedded one")
    node = http.client.HTTPConnection(urlsplit(opensearch_url).netloc, timeout=60)
    yield node
    node.close()


def ask(
    node: http.client.HTTPConnection, method: str, path: str, **headers: str
) -> tuple[int, bytes]:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    node.request(method, path, headers=names)
    response = node.getresponse()
    return response.status, response.read()


def test_node_listens_on_an_address_that_no_page_can_guess(
    node: http.client.HTTPConnection,
) -> None:
    status, body = ask(node, "GET", "/_nodes/http,transport")
    assert status == 200
    [info] = json.loads(body)["nodes"].values()
    for layer in ("http", "transport"):
        for address in info[layer]["bound_address"]:
            host, _, port = address.rpartition(":")
            assert is_loopback_literal(host)
            assert host != "127.0.0.1"
            assert not 9200 <= int(port) < 9400


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "attacker.example:9200"},
        {"Host": "127.0.0.1.attacker.example"},
        {"Host": ""},
        {"Origin": "http://attacker.example"},
        {"Origin": "null"},
        {"Sec_Fetch_Site": "cross-site"},
    ],
)
def test_node_refuses_requests_for_web_pages(
    node: http.client.HTTPConnection, headers: dict[str, str]
) -> None:
    index = "/kept-from-pages"
    assert ask(node, "PUT", index)[0] == 200
    try:
        assert ask(node, "POST", f"{index}/_delete_by_query?q=*", **headers)[0] == 403
        assert ask(node, "DELETE", index, **headers)[0] == 403
        assert ask(node, "GET", "/_cat/indices", **headers)[0] == 403
        assert ask(node, "GET", f"{index}/_count", Host="localhost:1")[0] == 200, "a tunnel"
    finally:
        ask(node, "DELETE", index)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize(("user", "expected"), [(NOBODY, b"403"), (0, b"200")])
def test_node_refuses_other_users(
    node: http.client.HTTPConnection, user: int, expected: bytes
) -> None:
    code = ASK_AS.format(user=user, host=node.host, port=node.port)
    answer = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout
    assert answer.startswith(b"b'HTTP/1.1 " + expected), answer


def test_node_serves_no_request_on_its_transport_port(node: http.client.HTTPConnection) -> None:
    _, body = ask(node, "GET", "/_nodes/transport")
    [info] = json.loads(body)["nodes"].values()
    host, _, port = info["transport"]["bound_address"][0].rpartition(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(transport_request("cluster:monitor/main"))
        answer = connection.recv(65536)
    assert b"this node has no peers" in answer


def transport_request(action: str) -> bytes:
    """Return a message of OpenSearch's transport protocol that calls an action without fields."""
    version = 3_050_099 ^ 0x08000000
    # No headers, no response headers, no features, then the action.
    header = b"\0\0\0" + bytes([len(action)]) + action.encode()
    body = struct.pack(">qBii", 1, 0, version, len(header)) + header + b"\0"  # no parent task
    return b"ES" + struct.pack(">i", len(body)) + body
