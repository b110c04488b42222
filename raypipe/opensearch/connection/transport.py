"""Extend opensearch-py's transport: parse JSON with orjson and keep `Retry-After`."""

from __future__ import annotations

import threading
from typing import Any

import orjson

from raypipe.core.retry import retry_after_s


def connection_class() -> Any:
    """Return a connection class whose errors carry `retry_after_s`, the wait in seconds or None."""
    from opensearchpy import Urllib3HttpConnection
    from opensearchpy.exceptions import TransportError

    class RetryAfterConnection(Urllib3HttpConnection):
        _last = threading.local()

        def get_response_headers(self, response: Any) -> Any:
            headers = super().get_response_headers(response)
            self._last.retry_after_s = retry_after_s(headers)
            return headers

        def _raise_error(self, *args: Any, **kwargs: Any) -> Any:
            try:
                super()._raise_error(*args, **kwargs)
            except TransportError as error:
                vars(error)["retry_after_s"] = getattr(self._last, "retry_after_s", None)
                raise

    return RetryAfterConnection


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
