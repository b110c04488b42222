"""Read the URL of a server."""

from __future__ import annotations

from typing import Any
from urllib.parse import SplitResult, urlsplit

from raypipe.core.redact import redact

HTTPS_PORT = 443
DEFAULT_PORT = 9200


def split_endpoint(endpoint: str) -> SplitResult:
    """Return the parts of an endpoint.

    Raises:
        ValueError: It is not a URL with the scheme http or https and a host.
    """
    try:
        parts = urlsplit(endpoint)
        is_usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except (ValueError, TypeError, AttributeError):
        is_usable = False
    if not is_usable:
        shown = redact(endpoint, "endpoint")
        raise ValueError(f"endpoint={shown} is not a URL; give one like https://host:9200")
    return parts


def host_options(endpoint: str) -> dict[str, Any]:
    """Return host, port, TLS and path of an endpoint, as opensearch-py's `hosts` takes them."""
    parts = split_endpoint(endpoint)
    is_secure = parts.scheme == "https"
    return {
        "host": parts.hostname,
        "port": parts.port or (HTTPS_PORT if is_secure else DEFAULT_PORT),
        "use_ssl": is_secure,
        "url_prefix": parts.path.strip("/"),
    }
