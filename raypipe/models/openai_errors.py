"""The openai package's exceptions as `ModelError`, and what a person can do about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from raypipe.core.retry import retry_after_s
from raypipe.models.preflight import safe_message
from raypipe.models.protocol import ModelError

if TYPE_CHECKING:
    import openai

KEY = "OPENAI_API_KEY"
_NEVER_SENT = ("ConnectError", "ConnectTimeout", "ProxyError", "PoolTimeout", "UnsupportedProtocol")
_UNREACHED = "no server answers there; check base_url and the network"
_REQUEST = {
    "max_completion_tokens": "give max_tokens_field=max_completion_tokens",
    "temperature": "give send_temperature=false",
    "response_format": "give structured=false",
    "json_schema": "give structured=false",
    "dimensions": "give shorten=false and the model's own dimension",
}
"""Words of a refusal, and the setting that helps."""


def translated(
    error: openai.OpenAIError, texts: Sequence[str] = (), key: str | None = None
) -> ModelError:
    """Return what the openai package raised as a `ModelError`, without what was sent.

    Args:
        error: Any of its exceptions.
        texts: Texts of the request.
        key: The key, which must not stand in it either.
    """
    import openai

    if isinstance(error, openai.APIStatusError):
        return ModelError(
            str(error.code or error.type or type(error).__name__),
            safe_message(_said(error), texts, [key or ""]),
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
    return ModelError("BadResponse", f"the answer cannot be read ({cause})", maybe_paid=True)


def _said(error: openai.APIStatusError) -> str:
    body = error.body
    message = body.get("message") if isinstance(body, Mapping) else None
    # What is not of OpenAI's shape, such as a proxy's page, may be anything.
    return message if isinstance(message, str) else f"HTTP status {error.status_code}"


def explain(error: ModelError, key_given: bool) -> str:
    """Return what is wrong and the way out, in one line.

    Args:
        error: The error.
        key_given: Whether there is a key in the environment.
    """
    if error.status == 401:
        told = "does not take the key in" if key_given else "wants a key in"
        return f"the server {told} the environment variable {KEY}"
    if error.status == 403:
        return f"the key in {KEY} has no access to the model (server: {error.message})"
    if error.code == "insufficient_quota":
        return f"the account has no money or quota left (server: {error.message})"
    if error.status == 404:
        return f"no such model, or base_url does not end with /v1 (server: {error.message})"
    if error.code in ("ConnectionError", "ConnectTimeout"):
        return f"{_UNREACHED} ({error.message})"
    if error.status in (400, 422):
        advice = [way for word, way in _REQUEST.items() if word in error.message.lower()]
        return "; ".join([f"the server refuses the call: {error.message}", *advice[:1]])
    return f"{error}"
