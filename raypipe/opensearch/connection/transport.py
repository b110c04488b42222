"""What opensearch-py does not do by itself: fast answers, and how long a server asks to wait."""

from __future__ import annotations

import threading
from typing import Any

import orjson

from raypipe.core.retry import retry_after_s


def connection_class() -> Any:
    """Return opensearch-py's connection, which tells with an error how long to wait."""
    from opensearchpy import Urllib3HttpConnection
    from opensearchpy.exceptions import TransportError

    class Telling(Urllib3HttpConnection):
        _said = threading.local()

        def get_response_headers(self, response: Any) -> Any:
            headers = super().get_response_headers(response)
            self._said.wait = retry_after_s(headers)
            return headers

        def _raise_error(self, *args: Any, **kwargs: Any) -> Any:
            try:
                super()._raise_error(*args, **kwargs)
            except TransportError as error:
                vars(error)["retry_after_s"] = getattr(self._said, "wait", None)
                raise

    return Telling


def serializer() -> Any:
    """Return opensearch-py's serializer with orjson for the answers."""
    from opensearchpy.exceptions import SerializationError
    from opensearchpy.serializer import JSONSerializer

    class Orjson(JSONSerializer):
        def loads(self, s: str) -> Any:
            try:
                return orjson.loads(s)
            except ValueError as error:
                raise SerializationError(s[:200], error) from None

    return Orjson()
