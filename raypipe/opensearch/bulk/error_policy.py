"""What to do about each status and each client exception of a bulk request: one table."""

from __future__ import annotations

import re
from enum import Enum
from typing import Any

LONGEST_REASON = 200
"""Characters of a server's reason that are kept."""


class Action(Enum):
    """What the writer does next."""

    DONE = "done"
    CHECK = "check"  # a version conflict: look what stands there
    RETRY = "retry"  # the same ids again; their outcome may be unknown, the writes repeat safely
    SPLIT = "split"  # too large for the server or a proxy before it
    BISECT = "bisect"  # one bad document fails its whole request: find it
    REJECT = "reject"  # this document never fits
    RENEW = "renew"  # credentials may have run out: once anew, then it is given up
    ABORT = "abort"  # nothing will be taken: stop the task


class SinkError(Exception):
    """Nothing can be written any more: where, what was said, and the way out.

    Small, and without documents in it: Ray pickles it back to the driver.

    Args:
        message: One line for a person.
        status: HTTP status, or 0.
    """

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message, status)
        self.message = message
        self.status = status

    def __str__(self) -> str:
        return self.message


REQUEST_ACTIONS = {
    400: Action.BISECT,  # BulkRequest.validate() refuses all for one item, e.g. an id > 512 bytes
    401: Action.RENEW,
    402: Action.RETRY,  # Serverless: capacity reached, grows slowly
    408: Action.RETRY,
    413: Action.SPLIT,
    429: Action.RETRY,  # rejected_execution, circuit breaker, indexing pressure, flood stage
    500: Action.RETRY,
    502: Action.RETRY,
    503: Action.RETRY,
    504: Action.RETRY,
}
"""By the status of the whole request; what is not here aborts (403, 404, 501, 3xx …)."""

REFUSED = frozenset({402, 429})
"""Statuses to try again that say for certain that nothing was written."""

ITEM_ACTIONS = {
    200: Action.DONE,
    201: Action.DONE,
    401: Action.ABORT,
    402: Action.RETRY,
    403: Action.ABORT,  # no right to write, or a cluster block: the index is read-only
    404: Action.ABORT,  # the index or alias is gone (require_alias makes no new one)
    408: Action.RETRY,
    409: Action.CHECK,
    429: Action.RETRY,
    500: Action.RETRY,
    502: Action.RETRY,
    503: Action.RETRY,
    504: Action.RETRY,
}
"""By the status of one item; what is not here rejects the document (400 …)."""

KINDS = ("bad_vector", "mapper_parsing", "rejected", "superseded", "too_large", "unavailable")
"""Kinds of failure that writing gives."""

_WAYS_OUT = {
    401: "the user name and password are no longer accepted",
    403: "the user may not write there, or the index is blocked (read-only, disk full)",
    404: "the index or its alias was deleted meanwhile; run again to make it anew",
}
_EXPIRED = re.compile("expired|security token", re.IGNORECASE)
_MAPPING_TYPES = ("mapper_parsing", "strict_dynamic_mapping", "parsing", "illegal_argument")


def request_action(error: Exception) -> Action:
    """Return what to do after opensearch-py raised this for a whole request."""
    from opensearchpy.exceptions import ConnectionError as NoConnection
    from opensearchpy.exceptions import SerializationError, SSLError, TransportError

    if isinstance(error, SSLError):
        return Action.ABORT
    if isinstance(error, NoConnection | SerializationError):
        return Action.RETRY  # refused, reset, timed out; or a proxy's page with status 200
    if isinstance(error, TransportError) and is_expired(error):
        return Action.RENEW
    if isinstance(error, TransportError):
        return REQUEST_ACTIONS.get(status_of(error), Action.ABORT)
    return Action.ABORT


def dropped(error: Exception) -> bool:
    """Return whether a connection that stood was cut, as some proxies do to large bodies."""
    from opensearchpy.exceptions import ConnectionError as NoConnection
    from opensearchpy.exceptions import ConnectionTimeout

    if not isinstance(error, NoConnection) or isinstance(error, ConnectionTimeout):
        return False
    return type(error.info).__name__ != "NewConnectionError"


def may_have_arrived(error: Exception) -> bool:
    """Return whether the server may have carried out a request that failed so."""
    from opensearchpy.exceptions import ConnectionError as NoConnection

    if isinstance(error, NoConnection):
        return type(error.info).__name__ != "NewConnectionError"
    return status_of(error) not in REFUSED


def away(error: Exception) -> bool:
    """Return whether nobody answers, not even that it is busy; one that speaks no TLS does."""
    from opensearchpy.exceptions import ConnectionError as NoConnection
    from opensearchpy.exceptions import SSLError

    return isinstance(error, NoConnection) and not isinstance(error, SSLError)


def is_disk_full(cause: Any) -> bool:
    """Whether an OpenSearch error object says that a disk is over its flood stage.

    Its reason is that of `IndexMetadata.INDEX_READ_ONLY_ALLOW_DELETE_BLOCK`.
    """
    return isinstance(cause, dict) and "flood-stage" in str(cause.get("reason", ""))


def cause_of(error: Exception) -> Any:
    """Return the OpenSearch error object of a request's error, or None."""
    info = getattr(error, "info", None)
    return info.get("error") if isinstance(info, dict) else None


def item_action(status: int) -> Action:
    """Return what to do about one item with this status."""
    return ITEM_ACTIONS.get(status, Action.REJECT)


def status_of(error: Exception) -> int:
    """Return the HTTP status of an exception, 0 where it has none ("N/A", "TIMEOUT")."""
    status = getattr(error, "status_code", 0)
    return status if isinstance(status, int) else 0


def label_of(error: Exception) -> str:
    """Return a short stable name for the counters: the status, or the exception's type."""
    return str(status_of(error) or type(error).__name__)


def kind_of(error_type: str) -> str:
    """Return the kind of failure for an item's `error.type`."""
    return "mapper_parsing" if error_type.startswith(_MAPPING_TYPES) else "rejected"


def abort_error(endpoint: str, index: str, status: int, said: str) -> SinkError:
    """Return the exception that ends a write task."""
    cause = _WAYS_OUT.get(status, "the server does not take bulk requests")
    answer = f"status {status}" if status else "no status"
    tail = f": {said}" if said else ""
    return SinkError(f"{index} at {endpoint} refuses writes ({answer}), {cause}{tail}", status)


def reason_of(error: Exception) -> str:
    """Return `type: reason` of a request's error, without any document's content."""
    cause = cause_of(error)
    if isinstance(cause, dict):
        return described(cause)
    if said := aws_message(error):
        return without_content(said)
    # A proxy's page or a plain text: its type says enough.
    return type(error).__name__


def aws_message(error: Exception) -> str:
    """Return what AWS says where a request does not reach OpenSearch, or an empty string."""
    info = getattr(error, "info", None)
    if not isinstance(info, dict):
        return ""
    said = info.get("message") or info.get("Message") or ""
    return said if isinstance(said, str) else ""


def is_expired(error: Exception) -> bool:
    """Whether AWS refused a signature or a session token that was good before."""
    return status_of(error) == 403 and bool(_EXPIRED.search(aws_message(error)))


def described(cause: dict[str, Any]) -> str:
    """Return `type: reason` of an OpenSearch error object, without any document's content."""
    name = str(cause.get("type", "error"))
    return f"{name}: {without_content(str(cause.get('reason', '')))}".rstrip(": ")


def without_content(reason: str) -> str:
    """Return a server's reason with what may quote a document taken out.

    Field paths and types, in short square brackets, stay. What stands in quotes, behind
    `Preview of`, or in long brackets goes (Data Prepper and unstructured-ingest drop it too).
    """
    text = " ".join(reason.split())
    text = re.sub(r'field="([\w.]+)"', r"field [\1]", text)
    text = re.split(r"\.? ?Preview of", text, maxsplit=1)[0]
    for quote in "'\"`":
        first, last = text.find(quote), text.rfind(quote)
        if first >= 0:
            # From the first to the last: a quoted text may hold the same mark.
            text = f"{text[:first]}…{text[last + 1 :]}" if last > first else f"{text[:first]}…"
    text = re.sub(r"\[[^\[\]]*[^\w.\[\]:-][^\[\]]*\]|\[[^\[\]]{61,}\]", "[…]", text)
    return text if len(text) <= LONGEST_REASON else text[: LONGEST_REASON - 1] + "…"
