"""Whose process is at the other end of a connection, by the kernel's own table."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from raypipe.embedded import peers

NOBODY = 65534
CONNECT = """
import os, socket, sys
os.setuid({user})
connection = socket.socket()
connection.connect((b"127.0.0.1", {port}))  # a string would load a codec, as another user
sys.stdin.read()
"""


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        yield server


def test_own_connections_are_recognized(server: socket.socket) -> None:
    with socket.create_connection(server.getsockname()):
        connection, _ = server.accept()
        with connection:
            assert peers.is_own_process(connection)


def test_own_connections_from_an_ipv6_socket_are_recognized(server: socket.socket) -> None:
    with socket.socket(socket.AF_INET6) as client:
        try:
            client.connect(("::ffff:127.0.0.1", server.getsockname()[1]))
        except OSError:
            pytest.skip("no IPv6 here")
        connection, _ = server.accept()
        with connection:
            assert peers.is_own_process(connection)


def test_own_connections_over_ipv6_are_recognized() -> None:
    try:
        server = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("no IPv6 here")
    with server, socket.create_connection(server.getsockname()[:2]):
        connection, _ = server.accept()
        with connection:
            client = connection.getpeername()[:2]
            assert peers.read_owner(client, connection.getsockname()[:2]) == os.geteuid()
            assert peers.read_owner(("::2", client[1]), connection.getsockname()[:2]) is None


def test_a_closed_socket_belongs_to_nobody(server: socket.socket) -> None:
    """Another user could send a request and close: the kernel then shows user 0, or the last."""
    with socket.create_connection(server.getsockname()):
        connection, _ = server.accept()
    with connection:
        assert not peers.is_own_process(connection)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_users_connection_is_recognized(server: socket.socket) -> None:
    code = CONNECT.format(user=NOBODY, port=server.getsockname()[1])
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE) as other:
        connection, client = server.accept()
        with connection:
            assert not peers.is_own_process(connection)
            assert peers.read_owner(client, server.getsockname()) == NOBODY
        other.kill()


def test_a_table_that_names_another_user(
    server: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_connection(server.getsockname()) as client:
        connection, _ = server.accept()
        ends = (peers._format(client.getsockname()), peers._format(server.getsockname()))
        row = f"0: {ends[0]} {ends[1]} 01 00000000:00000000 00:00000000 00000000 {{}} 0 17148 1"
        table = tmp_path / "tcp"
        monkeypatch.setattr(peers, "_TABLES", (str(tmp_path / "absent"), str(table)))
        with connection:
            for user, expected in ((os.geteuid(), True), (os.geteuid() + 1, False)):
                table.write_text("header\n" + row.format(user) + "\n")
                assert peers.is_own_process(connection) is expected
            table.write_text("header\n")
            assert not peers.is_own_process(connection)
