"""Convert the openai package's exceptions to `ModelError`, and explain them with the way out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import orjson

from raypipe.core.retry import retry_after_s
from raypipe.models.protocol import ModelError
from raypipe.models.redaction import redact_message

if TYPE_CHECKING:
    import openai

API_KEY_VARIABLE = "OPENAI_API_KEY"
_NEVER_SENT = ("ConnectError", "ConnectTimeout", "ProxyError", "PoolTimeout", "UnsupportedProtocol")
"""Exceptions of httpx after which the server has not seen the request."""
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


def to_model_error(
    error: openai.OpenAIError, texts: Sequence[str] = (), key: str | None = None
) -> ModelError:
    """Convert an exception of the openai package to a `ModelError` that quotes no request.

    Args:
        error: Any exception of the package.
        texts: Texts of the request.
        key: The API key, which the message must not contain either.
    """
    import openai

    if isinstance(error, openai.APIStatusError):
        if _is_foreign(error.response):
            return ModelError.foreign(error.status_code, retry_after_s(error.response.headers))
        return ModelError(
            str(error.code or error.type or type(error).__name__),
            redact_message(_message_of(error), texts, [key or ""]),
            status=error.status_code,
            retry_after_s=retry_after_s(error.response.headers, "retry-after-ms"),
        )
    cause = type(error.__cause__).__name__
    sent = cause not in _NEVER_SENT
    if isinstance(error, openai.APITimeoutError):
        if sent:
            return ModelError("ReadTimeout", "no answer in time", maybe_paid=True)
        return ModelError("ConnectTimeout", "no connection in time")
    if isinstance(error, openai.APIConnectionError):
        message = "the connection was lost" if sent else "no connection"
        return ModelError("ConnectionError", f"{message} ({cause})", maybe_paid=sent)
    return ModelError.bad_response(f"the answer is unreadable ({cause})")


def _is_foreign(response: Any) -> bool:
    """Return whether an error has no JSON object: servers of this API always send one."""
    try:
        body = orjson.loads(response.content)
    except Exception:  # of the parser, or of a body that was not read
        return True
    return not isinstance(body, dict) or body in ({}, _FIREWALL)


def _message_of(error: openai.APIStatusError) -> str:
    body = error.body
    message = body.get("message") if isinstance(body, Mapping) else None
    # A body of another shape, such as a proxy's error page, may contain anything.
    return message if isinstance(message, str) else f"HTTP status {error.status_code}"


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
