"""Which hosts are this very machine."""

from __future__ import annotations

import ipaddress


def is_loopback(host: str) -> bool:
    """Whether a host name or address, without brackets and port, is each machine's own."""
    # Short forms such as 127.1 are no addresses for `ipaddress`, but reach this machine.
    if host.startswith(("127.", "localhost")):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
