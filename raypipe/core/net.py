"""Recognize host names and addresses of this machine."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit


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
