"""Recognize host names and addresses of this machine."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

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


def is_sent_for_web_page(host: str, origin: str, fetch_site: str) -> bool:
    """Whether a browser may have sent a request to a loopback server for a page of another site.

    The arguments are the request's headers Host, Origin and Sec-Fetch-Site, or empty strings. A
    host name that is not the machine's own can belong to a page, whose name resolves to a loopback
    address. Browsers name the origin of a page that sends a request to another site.
    """
    try:
        is_own_host = is_loopback_literal(urlsplit(f"//{host}").hostname or "")
    except ValueError:
        return True
    return not is_own_host or bool(origin) or fetch_site not in ("", "none", "same-origin")


def is_loopback_literal(host: str) -> bool:
    """Whether a host is `localhost` or a loopback IP address, which no site can have as a name."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
