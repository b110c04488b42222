"""Turn a failed request into a one-line `SetupError` that names the cause and the fix."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from raypipe.core.errors import SetupError
from raypipe.core.proxy import describe_route
from raypipe.core.retry import TRANSIENT_STATUS
from raypipe.opensearch.connection.errors import (
    aws_message,
    cause_of,
    is_foreign,
    reason_of,
)
from raypipe.opensearch.connection.known_causes import explain_cause

BUSY_STATUS = TRANSIENT_STATUS | {402}
"""Statuses of a busy server; Serverless answers 402 while its capacity grows."""
WRITE_INDEX_EXISTS = "more than one write index"
"""Part of the reason with which OpenSearch refuses a second index behind an alias."""
ACCESS_REFUSALS = {
    401: "it did not accept the user name and password (401); check "
    "opensearch.connection.username and the variable named by opensearch.connection.password_env",
    403: "the user may not do this (403); grant it the rights to create, read and write the index",
}
"""Cause and fix by the status of a refused user."""
_SECURITY = re.compile("security|authenticat|authoriz|privilege|access_control", re.IGNORECASE)
"""Types of errors that are about the user."""
_FIX = "set opensearch.endpoint to the right address, or start the server"
_TLS_FIX = (
    "set opensearch.endpoint to http:// if the server has no TLS, "
    "opensearch.connection.ca_certs=<file> if its certificate is private, client_cert=<file> if "
    "it asks for a client certificate, or opensearch.connection.verify_certs=false to trust any"
)


def explain_failure(
    error: Exception,
    request: str,
    *,
    endpoint: str,
    timeout_s: float,
    explain_refusal: Callable[[int, Exception], str],
) -> SetupError:
    """Return the `SetupError` for a request that failed for good.

    Args:
        error: Exception of opensearch-py.
        request: Method and path of the request.
        endpoint: URL of the server.
        timeout_s: Seconds that the client waited for the response.
        explain_refusal: Returns cause and fix for a status of `ACCESS_REFUSALS`.
    """
    from opensearchpy.exceptions import ConnectionError as NoConnection
    from opensearchpy.exceptions import ConnectionTimeout, SSLError, TransportError

    where = f"OpenSearch at {endpoint}"
    if isinstance(error, SSLError):
        return SetupError(f"{where}: TLS failed ({_innermost_reason(error)}); {_TLS_FIX}")
    if isinstance(error, ConnectionTimeout):
        return SetupError(f"{where} gave no answer within {timeout_s:g} s; {_FIX}")
    if isinstance(error, NoConnection):
        reason = f"{_innermost_reason(error)}{describe_route(endpoint)}"
        return SetupError(f"{where} cannot be reached ({reason}); {_FIX}")
    if not isinstance(error, TransportError):
        return not_opensearch(endpoint, request)
    status, reason = error.status_code, reason_of(error)
    if is_foreign(error) and status not in (401, *BUSY_STATUS):
        return SetupError(
            f"a proxy or firewall before {where} answered {request} with status {status}; {_FIX}, "
            "or let the request pass there"
        )
    if known := explain_cause(cause_of(error)):
        return SetupError(f"{where} refused {request} ({status}): {known} (server: {reason})")
    if status in ACCESS_REFUSALS and _is_about_user(status, error):
        refusal = explain_refusal(status, error)
        is_known = reason == type(error).__name__ or reason in refusal
        return SetupError(f"{where}: {refusal}{'' if is_known else f' (server: {reason})'}")
    if status in BUSY_STATUS:
        said = f": {reason}" if isinstance(cause_of(error), dict) else ""
        return SetupError(
            f"{where} stays unavailable (status {status}){said}; try again later, or check "
            "GET /_cluster/health"
        )
    return SetupError(f"{where} refused {request} (status {status}): {reason}")


def _is_about_user(status: int, error: Exception) -> bool:
    """Return whether an answer 401 or 403 refuses the user, rather than the request."""
    cause = cause_of(error)
    if status == 401 or not isinstance(cause, dict):
        return True
    return bool(_SECURITY.search(str(cause.get("type", ""))) or aws_message(error))


def not_opensearch(endpoint: str, request: str) -> SetupError:
    """Return the `SetupError` for a server whose responses are not those of OpenSearch."""
    return SetupError(f"{endpoint} answers {request}, but not as OpenSearch does; {_FIX}")


def _innermost_reason(error: Exception) -> str:
    """Return the innermost reason in a few words, for example `Connection refused`."""
    inner: Any = getattr(error, "info", error)
    inner = getattr(inner, "reason", None) or inner
    text = str(inner).splitlines()[0] if str(inner) else type(inner).__name__
    return text.rsplit(": ", 1)[-1][:160]
