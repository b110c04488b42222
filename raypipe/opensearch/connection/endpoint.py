"""Split the URL of a server."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit


def split_endpoint(endpoint: str) -> SplitResult:
    """Return the parts of an endpoint.

    Raises:
        ValueError: The endpoint is not a URL with http or https and a host.
    """
    try:
        parts = urlsplit(endpoint)
        is_usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except (ValueError, TypeError, AttributeError):
        is_usable = False
    if not is_usable:
        raise ValueError(f"endpoint={endpoint} is not a URL; give one like https://host:9200")
    return parts
