"""Find free ports on the loopback interface and send HTTP requests to it."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterable
from urllib.parse import urlsplit

LOOPBACK = "127.0.0.1"


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of the loopback interface now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # Servers set this too; without it a port looks taken for a minute after its last server.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def find_free(ports: Iterable[int]) -> int | None:
    """Return the first of these ports that is free, or None."""
    return next((port for port in ports if is_free(port)), None)


def http_get(url: str, path: str, timeout_s: float = 5.0) -> tuple[int, bytes] | None:
    """Send a GET over plain HTTP; return status and body, or None if nothing answers.

    The request bypasses every proxy of the environment: the server is on this machine.
    """
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=timeout_s)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
