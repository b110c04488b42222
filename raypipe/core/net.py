"""Recognize host names and addresses of this machine."""

from __future__ import annotations

import ipaddress
import re

_NAMES = ("localhost", "localhost.localdomain", "localhost4", "localhost6")
_SHORT_FORM = re.compile(r"127(\.\d+){1,3}")


def is_loopback(host: str) -> bool:
    """Whether a host name or address is the loopback of the machine that uses it.

    Args:
        host: Host without brackets and port.
    """
    host = host.lower().rstrip(".")
    # `ipaddress` rejects short forms such as 127.1, although they reach this machine.
    if host in _NAMES or host.endswith(".localhost") or _SHORT_FORM.fullmatch(host):
        return True
    try:
        address = ipaddress.ip_address(host)
        return (getattr(address, "ipv4_mapped", None) or address).is_loopback
    except ValueError:
        return False
