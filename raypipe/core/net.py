"""Recognize host names and addresses of this machine."""

from __future__ import annotations

import ipaddress


def is_loopback(host: str) -> bool:
    """Whether a host name or address is the loopback of the machine that uses it.

    Args:
        host: Host without brackets and port.
    """
    # `ipaddress` rejects short forms such as 127.1, although they reach this machine.
    if host.startswith(("127.", "localhost")):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
