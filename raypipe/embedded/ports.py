"""Choose loopback addresses to listen on, and send HTTP requests to them."""

from __future__ import annotations

import http.client
import secrets
import socket
from urllib.parse import urlsplit

LOOPBACK = "127.0.0.1"
_TRIES = 3


def choose_address() -> str:
    """Return a random address of 127.0.0.0/8 for a server to listen on.

    A web page cannot try 16 million addresses. Sandboxes that have no other loopback address than
    127.0.0.1 get that one.
    """
    for _ in range(_TRIES):
        address = f"127.{secrets.randbelow(256)}.{secrets.randbelow(256)}.{_random_last_byte()}"
        if _can_bind(address):
            return address
    return LOOPBACK


def _random_last_byte() -> int:
    return 2 + secrets.randbelow(253)  # 0 and 255 are networks and broadcasts; 127.0.0.1 is known


def _can_bind(address: str) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


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
