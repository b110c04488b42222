"""Find the proxy for a URL in the environment, by one rule for all clients.

`HTTPS_PROXY` and `HTTP_PROXY`, else `ALL_PROXY`, name the proxy. `NO_PROXY` names hosts, domains
and networks that are reached directly; this machine always is. The names may be in lower case.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from raypipe.core.environment import set_variables
from raypipe.core.errors import SetupError
from raypipe.core.net import is_loopback

_LOOPBACK = ("localhost", "127.0.0.0/8", "127.0.0.1", "::1")
_NO_PROXY = ("no_proxy", "NO_PROXY")


def proxy_for(url: str) -> str | None:
    """Return the URL of the proxy for a request, with its user name and password; None for none.

    Args:
        url: URL of the server.

    Raises:
        SetupError: The variable for this URL names no usable proxy. The message does not show it.
    """
    name, proxy = _find_proxy(url)
    if proxy and not _is_usable(proxy):
        host = urlsplit(url).hostname
        raise SetupError(
            f"the variable {name} names no proxy that raypipe can use for {host}. Fix: give a URL "
            "such as http://proxy:3128 (in a password, %40 for @ and %2F for /), or add the host "
            "to NO_PROXY"
        )
    return proxy or None


def proxy_manager(proxy: str, **options: Any) -> Any:
    """Return a `urllib3.ProxyManager`.

    Args:
        proxy: From `proxy_for`.
        options: Of `urllib3.PoolManager`.
    """
    import urllib3

    parts = urlsplit(proxy)
    login = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    headers = urllib3.make_headers(proxy_basic_auth=login) if login != ":" else None
    return urllib3.ProxyManager(proxy, proxy_headers=headers, **options)


def describe_route(url: str) -> str:
    """Return ` through the proxy in HTTPS_PROXY` for messages, or '' if there is no proxy."""
    name, _ = _find_proxy(url)
    return f" through the proxy in {name}" if name else ""


@contextmanager
def loopback_without_proxy() -> Iterator[None]:
    """Add this machine to `NO_PROXY`, for libraries and processes that read it themselves."""
    if set(getproxies()) <= {"no"}:
        yield
        return
    given = next(filter(None, map(os.environ.get, _NO_PROXY)), "")
    hosts = ",".join(filter(None, (given, *_LOOPBACK)))
    with set_variables(dict.fromkeys(_NO_PROXY, hosts)):
        yield


def _find_proxy(url: str) -> tuple[str, str]:
    """Return the variable that names the proxy for a URL, and the proxy; empty without one."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    proxies = getproxies()
    name = next((name for name in (parts.scheme, "all") if proxies.get(name)), None)
    if name is None or is_loopback(host) or _is_excluded(parts.netloc, host, proxies.get("no")):
        return "", ""
    proxy = proxies[name]
    return _variable(name), proxy if "://" in proxy else f"http://{proxy}"


def _is_excluded(netloc: str, host: str, excluded: str | None) -> bool:
    if proxy_bypass(netloc.rpartition("@")[2]):
        return True
    # Python's rule knows names, addresses and domains, but no networks such as 10.0.0.0/8.
    return any(_is_in(host, entry.strip()) for entry in (excluded or "").split(",") if "/" in entry)


def _is_in(host: str, network: str) -> bool:
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False


def _is_usable(proxy: str) -> bool:
    try:
        parts = urlsplit(proxy)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _variable(name: str) -> str:
    """Return the variable of the environment in the spelling that is set."""
    lower = f"{name}_proxy"
    return lower if os.environ.get(lower) else lower.upper()
