"""Read opensearch-py's exceptions and OpenSearch's error objects, without document content."""

from __future__ import annotations

import re
from typing import Any

from raypipe.core.printable import escape_line

MAX_REASON_CHARS = 200
"""Characters of a server's reason that are kept."""
NOT_EXECUTED_STATUS = frozenset({402, 429})
"""Transient statuses with which a server confirms that it has written nothing."""
_WAF_MESSAGE = "Forbidden"
"""Message of AWS WAF for a request that it blocks."""
_CONTENT = re.compile(
    r"\[(?![A-Z_]+/\d+/|indices:|cluster:)(?:[^\[\]]*[^\w.\[\]:-][^\[\]]*|[^\[\]]{61,})\]"
)
"""Text in square brackets that may quote a document: not a block such as
`[FORBIDDEN/8/index write (api)]`, and not a permission such as `[indices:admin/create]`."""
_EXPIRED = re.compile("expired|security token", re.IGNORECASE)


def status_of(error: Exception) -> int:
    """Return the HTTP status of an exception, or 0 where it has none ("N/A", "TIMEOUT")."""
    status = getattr(error, "status_code", 0)
    return status if isinstance(status, int) else 0


def label_of(error: Exception) -> str:
    """Return a short stable name for counters: the status, or the exception's type."""
    return str(status_of(error) or type(error).__name__)


def cause_of(error: Exception) -> Any:
    """Return the OpenSearch error object of a request's exception, or None."""
    info = getattr(error, "info", None)
    return info.get("error") if isinstance(info, dict) else None


def reason_of(error: Exception) -> str:
    """Return `type: reason` of a request's exception, without document content."""
    cause = cause_of(error)
    if isinstance(cause, dict):
        return describe_cause(cause)
    if message := aws_message(error):
        return strip_content(message)
    if type(error).__name__ == "SerializationError":
        return "the answer is not the JSON of OpenSearch"
    # A proxy's page or plain text: the exception's type is enough.
    return type(error).__name__


def aws_message(error: Exception) -> str:
    """Return the message of AWS for a request that did not reach OpenSearch, or ''."""
    info = getattr(error, "info", None)
    if not isinstance(info, dict):
        return ""
    message = info.get("message") or info.get("Message") or ""
    return message if isinstance(message, str) else ""


def is_foreign(error: Exception) -> bool:
    """Return whether a proxy or firewall answered a request in place of OpenSearch.

    OpenSearch answers an error with JSON, `{"error": {"type": ...}}`; AWS with a message.
    """
    cause = cause_of(error)
    is_own = isinstance(cause, dict) and isinstance(cause.get("type"), str)
    message = aws_message(error)
    return status_of(error) >= 400 and not is_own and message in ("", _WAF_MESSAGE)


def is_expired(error: Exception) -> bool:
    """Return whether AWS refused an expired signature or session token."""
    return status_of(error) == 403 and bool(_EXPIRED.search(aws_message(error)))


def is_connection_cut(error: Exception) -> bool:
    """Return whether an open connection was cut, as some proxies do to large bodies."""
    from opensearchpy.exceptions import ConnectionError as NoConnection
    from opensearchpy.exceptions import ConnectionTimeout

    if not isinstance(error, NoConnection) or isinstance(error, ConnectionTimeout):
        return False
    return type(error.info).__name__ != "NewConnectionError"


def is_unreachable(error: Exception) -> bool:
    """Return whether no server answered; a server without TLS counts as answering."""
    from opensearchpy.exceptions import ConnectionError as NoConnection
    from opensearchpy.exceptions import SSLError

    return isinstance(error, NoConnection) and not isinstance(error, SSLError)


def may_have_arrived(error: Exception) -> bool:
    """Return whether the server may have executed a request that ended with this exception."""
    from opensearchpy.exceptions import ConnectionError as NoConnection

    if isinstance(error, NoConnection):
        return type(error.info).__name__ != "NewConnectionError"
    return status_of(error) not in NOT_EXECUTED_STATUS


def is_disk_full(cause: Any) -> bool:
    """Return whether an OpenSearch error object reports a disk over its flood stage.

    The reason is that of `IndexMetadata.INDEX_READ_ONLY_ALLOW_DELETE_BLOCK`.
    """
    return isinstance(cause, dict) and "flood-stage" in _text_of(cause.get("reason"))


def describe_cause(cause: dict[str, Any]) -> str:
    """Return `type: reason` of an OpenSearch error object, without document content."""
    if cause.get("reason") in ("all shards failed", ""):
        roots = cause.get("root_cause")
        if isinstance(roots, list) and roots and isinstance(roots[0], dict):
            cause = roots[0]
    name = escape_line(_text_of(cause.get("type"))) or "error"
    return f"{name}: {strip_content(_text_of(cause.get('reason')))}".rstrip(": ")


def _text_of(value: Any) -> str:
    return value if isinstance(value, str) else ""  # anything may be nested without end


def strip_content(reason: str) -> str:
    """Return a server's reason without the parts that may quote a document.

    Field paths and types, in short square brackets, stay. Text in quotes, after `Preview of` or
    in long brackets is removed (Data Prepper and unstructured-ingest remove it too).
    """
    text = escape_line(" ".join(reason.split()))
    text = re.sub(r'field="([\w.]+)"', r"field [\1]", text)
    text = re.split(r"\.? ?Preview of", text, maxsplit=1)[0]
    for quote in "'\"`":
        first, last = text.find(quote), text.rfind(quote)
        if first >= 0:
            # From the first to the last quote: a quoted text may contain the same quote.
            text = f"{text[:first]}…{text[last + 1 :]}" if last > first else f"{text[:first]}…"
    text = _CONTENT.sub("[…]", text)
    return text if len(text) <= MAX_REASON_CHARS else text[: MAX_REASON_CHARS - 1] + "…"
