"""Ports on the loopback interface, and HTTP over it."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterable
from urllib.parse import urlsplit

LOOPBACK = "127.0.0.1"


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of the loopback interface now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do; without it a port counts as taken for a minute after its last server.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def first_free(ports: Iterable[int]) -> int | None:
    """The first of these ports that is free, or None."""
    return next((port for port in ports if is_free(port)), None)


def get(url: str, path: str, timeout: float = 5.0) -> tuple[int, bytes] | None:
    """GET over plain HTTP; status and body, or None when nothing answers.

    No proxy is asked, whatever the environment says: the server is on this machine.
    """
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=timeout)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
