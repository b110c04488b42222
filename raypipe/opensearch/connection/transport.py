"""Extend opensearch-py's transport: parse JSON with orjson and keep `Retry-After`."""

from __future__ import annotations

import threading
from typing import Any

import orjson

from raypipe.core.retry import retry_after_s


def connection_class() -> Any:
    """Return a connection class whose errors carry `retry_after_s`, the wait in seconds or None."""
    from opensearchpy import Urllib3HttpConnection
    from opensearchpy.exceptions import HTTP_EXCEPTIONS, TransportError

    class RetryAfterConnection(Urllib3HttpConnection):
        _last = threading.local()

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
