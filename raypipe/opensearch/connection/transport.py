"""Extend opensearch-py's transport: parse JSON with orjson, keep `Retry-After`, use a proxy."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import orjson

from raypipe.core.proxy import proxy_for, proxy_manager
from raypipe.core.retry import retry_after_s


def connection_class() -> Any:
    """Return a connection class whose errors carry `retry_after_s`, the wait in seconds or None."""
    from opensearchpy import Urllib3HttpConnection
    from opensearchpy.exceptions import HTTP_EXCEPTIONS, TransportError

    class RetryAfterConnection(Urllib3HttpConnection):
        _last = threading.local()

        def _create_urllib3_pool(self) -> None:
            super()._create_urllib3_pool()
            pool: Any = self.pool
            certificates = getattr(pool, "ca_certs", None)
            if certificates and Path(certificates).is_dir():
                pool.ca_cert_dir, pool.ca_certs = certificates, None
            if proxy := proxy_for(self.host):
                self.pool = _ProxiedPool(pool, proxy, self.host)

        def get_response_headers(self, response: Any) -> Any:
            headers = super().get_response_headers(response)
            self._last.retry_after_s = retry_after_s(headers)
            return headers

        def _raise_error(
            self, status_code: int, raw_data: Any, content_type: str | None = None
        ) -> None:
            # opensearch-py's own method fails for JSON that is no object, or is nested deeply.
            info = _parse_object(raw_data)
            cause = info.get("error") if info else None
            name = cause.get("type") if isinstance(cause, dict) else cause
            message = name if isinstance(name, str) else ""
            error = HTTP_EXCEPTIONS.get(status_code, TransportError)(status_code, message, info)
            vars(error)["retry_after_s"] = getattr(self._last, "retry_after_s", None)
            raise error

    return RetryAfterConnection


def _parse_object(data: Any) -> dict[str, Any] | None:
    """Return the JSON object of an error's body; None for anything else."""
    try:
        value = orjson.loads(data)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


class _ProxiedPool:
    """Sends the requests for one server through a proxy.

    Args:
        pool: The pool without the proxy; its settings are used.
        proxy: URL of the proxy.
        server: URL of the server, without a path.
    """

    def __init__(self, pool: Any, proxy: str, server: str) -> None:
        names = ("cert_reqs", "ca_certs", "ca_cert_dir", "cert_file", "key_file", "assert_hostname")
        tls = {name: getattr(pool, name) for name in names if hasattr(pool, name)}
        self._server = server
        self._manager = proxy_manager(proxy, maxsize=pool.pool.maxsize, timeout=pool.timeout, **tls)

    def urlopen(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        """Send a request; opensearch-py passes the path."""
        return self._manager.urlopen(
            method, self._server + path, body=body, redirect=False, **options
        )

    def close(self) -> None:
        """Close the connections."""
        self._manager.clear()


def serializer() -> Any:
    """Return opensearch-py's serializer with orjson for responses."""
    from opensearchpy.exceptions import SerializationError
    from opensearchpy.serializer import JSONSerializer

    class OrjsonSerializer(JSONSerializer):
        def loads(self, s: str) -> Any:
            try:
                return orjson.loads(s)
            except ValueError as error:
                raise SerializationError(s[:200], error) from None

    return OrjsonSerializer()
