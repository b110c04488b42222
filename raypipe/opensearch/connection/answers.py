"""Turn an answer that OpenSearch would not give into a one-line error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from raypipe.opensearch.connection.failures import not_opensearch
from raypipe.opensearch.connection.requester import Requester

_PARSING_ERRORS = (
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    ArithmeticError,
    RecursionError,
)
"""What reading a value of another shape raises."""
_MAX_LONG = 2**63 - 1


@contextmanager
def parsing(connection: Requester, request: str) -> Iterator[None]:
    """Read the values of an answer in this context, and nothing else.

    Args:
        connection: Connection to the server.
        request: Method and path of the request.

    Raises:
        SetupError: The answer has another shape than OpenSearch's; it names the endpoint.
    """
    try:
        yield
    except _PARSING_ERRORS:
        raise not_opensearch(connection.endpoint, request) from None


@contextmanager
def parsing_or_retry(request: str) -> Iterator[None]:
    """Read the values of an answer in this context; the caller retries the request.

    Raises:
        opensearchpy.exceptions.SerializationError: The answer has another shape.
    """
    from opensearchpy.exceptions import SerializationError

    try:
        yield
    except _PARSING_ERRORS as error:
        message = f"the answer to {request} is not OpenSearch's"
        raise SerializationError(message, error) from None


def read_long(value: object) -> int:
    """Return a count or version of OpenSearch.

    Raises:
        ValueError: It is no integer from 0 to 2**63 - 1.
    """
    if type(value) is not int or not 0 <= value <= _MAX_LONG:
        raise ValueError("not a number of OpenSearch")
    return value
