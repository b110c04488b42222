"""Convert errors of OpenAI-compatible servers to `ModelError`, and explain each with a way out."""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from raypipe.core.retry import retry_after_s
from raypipe.models.protocol import ModelError
from raypipe.models.redaction import redact_message

if TYPE_CHECKING:
    from urllib3.exceptions import HTTPError

API_KEY_VARIABLE = "OPENAI_API_KEY"
_FIREWALL = {"message": "Forbidden"}
"""Answer of AWS WAF to a request that it blocks."""
_UNREACHABLE = "no server answers there; check base_url and the network"
_SETTINGS_BY_WORD = {
    "max_completion_tokens": "set max_tokens_field=max_completion_tokens",
    "temperature": "set send_temperature=false",
    "response_format": "set structured=false",
    "json_schema": "set structured=false",
    "dimensions": "set shorten=false and the model's own dimension",
}
"""Words in the message of a rejected request, and the setting that helps."""


def connection_error(error: HTTPError) -> ModelError:
    """Convert an exception of urllib3, which brought no response, to a `ModelError`."""
    from urllib3 import exceptions

    cause = type(error).__name__
    if isinstance(error, exceptions.ReadTimeoutError):
        return ModelError("ReadTimeout", "no answer in time", maybe_paid=True)
    if type(error) is exceptions.ConnectTimeoutError:  # urllib3 1.26 has subclasses of it
        return ModelError("ConnectTimeout", "no connection in time")
    sent = not isinstance(error, _never_sent())
    if isinstance(error, exceptions.SSLError):
        # A connection that ends early is an error of TLS as well; the request may have arrived.
        sent = isinstance(error.args[0], (ssl.SSLEOFError, ssl.SSLZeroReturnError))
        cause = type(error.args[0]).__name__
    message = "the connection was lost" if sent else "no connection"
    return ModelError("ConnectionError", f"{message} ({cause})", maybe_paid=sent)


def _never_sent() -> tuple[type[Exception], ...]:
    """Return the exceptions of urllib3 after which the server has not seen the request."""
    from urllib3 import exceptions

    return (
        exceptions.NewConnectionError,
        exceptions.ConnectTimeoutError,
        exceptions.ProxyError,
        exceptions.LocationValueError,
    )


def status_error(
    status: int,
    headers: Mapping[str, str],
    content: bytes,
    texts: Sequence[str] = (),
    key: str = "",
) -> ModelError:
    """Convert a response that is not a success to a `ModelError` that quotes no request.

    Args:
        status: HTTP status, 300 or more.
        headers: Headers of the response; a case-insensitive mapping.
        content: Body of the response.
        texts: Texts of the request.
        key: The API key, which the message must not contain either.
    """
    body = _parse_error(content)
    if body is None:
        return ModelError.foreign(status, retry_after_s(headers))
    error = read_error(body)
    return ModelError(
        next(iter(error.codes), f"HTTP {status}"),
        redact_message(error.message or f"HTTP status {status}", texts, [key]),
        status=status,
        retry_after_s=retry_after_s(headers, "retry-after-ms"),
    )


@dataclass(frozen=True, slots=True)
class ServerError:
    """What the error object of a server says.

    Args:
        message: Its message; '' if it has none.
        codes: Its code and type, such as `insufficient_quota`; numbers are left out.
        status: The HTTP status in it, 400 to 599; 0 if it has none.
    """

    message: str = ""
    codes: Sequence[str] = ()
    status: int = 0


def read_error(body: Mapping[str, Any]) -> ServerError:
    """Return what an error object says.

    Args:
        body: `{"error": {"message": ..., "code": ...}}` of OpenAI, `{"error": "..."}` of Ollama,
            `{"object": "error", "message": ...}` of FastChat, or `{"detail": ...}` of FastAPI.
    """
    found = body.get("error") or body
    fields = found if isinstance(found, Mapping) else {"message": found}
    codes = [fields.get(name) for name in ("code", "status", "type", "error_type")]
    digits = [str(code) for code in codes if str(code).isascii() and str(code).isdigit()]
    numbers = [int(code[:9]) for code in digits]
    return ServerError(
        _read_message(fields.get("message")) or _read_message(fields.get("detail")),
        [code for code in codes if isinstance(code, str) and code and not code.isdigit()],
        next((number for number in numbers if 400 <= number <= 599), 0),
    )


def _read_message(value: Any) -> str:
    """Return a message; FastAPI sends a list of objects with a `msg` for a rejected request."""
    if isinstance(value, list):
        messages = [item.get("msg") for item in value if isinstance(item, Mapping)]
        return "; ".join(message for message in messages if isinstance(message, str))
    return value if isinstance(value, str) else ""


def _parse_error(content: bytes) -> dict[str, Any] | None:
    """Return the JSON object of an error; None if a server of this API did not send it."""
    try:
        body = orjson.loads(content)
    except ValueError:
        return None
    return body if isinstance(body, dict) and body not in ({}, _FIREWALL) else None


def explain_error(error: ModelError, has_key: bool) -> str:
    """Return the cause and the way out, in one line.

    Args:
        error: The error.
        has_key: Whether the environment has an API key.
    """
    if error.is_foreign and error.status not in (401, 404):
        return f"{error.message}; check base_url and the network, or let the calls pass there"
    if error.status == 401:
        if has_key:
            return f"the server rejects the key in the environment variable {API_KEY_VARIABLE}"
        return f"the server requires a key in the environment variable {API_KEY_VARIABLE}"
    if error.status == 403 and not has_key:
        return (
            f"the server refuses the call (403) (server: {error.message}); set a key in the "
            f"environment variable {API_KEY_VARIABLE}, or check base_url"
        )
    if error.status == 403:
        return f"the key in {API_KEY_VARIABLE} has no access to the model (server: {error.message})"
    if error.code == "insufficient_quota":
        return f"the account has no credit or quota left (server: {error.message})"
    if error.status == 404:
        return f"model not found, or base_url does not end with /v1 (server: {error.message})"
    if error.code in ("ConnectionError", "ConnectTimeout"):
        return f"{_UNREACHABLE} ({error.message})"
    if error.status in (400, 422):
        message = error.message.lower()
        advice = [setting for word, setting in _SETTINGS_BY_WORD.items() if word in message]
        return "; ".join([f"the server rejects the call: {error.message}", *advice[:1]])
    return f"{error}"
