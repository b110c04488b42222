"""Decide how to react to each status of a bulk request and of its items: two tables."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from raypipe.core.printable import escape_line
from raypipe.core.redact import redact_urls
from raypipe.opensearch.bulk.item import MALFORMED
from raypipe.opensearch.bulk.obstacles import find_obstacle
from raypipe.opensearch.connection.errors import cause_of, is_expired, is_foreign, status_of


class Action(Enum):
    """Next step of the bulk writer."""

    DONE = "done"
    DIVERTED = "diverted"  # dropped, or sent to another index: the index does not have it
    CHECK = "check"  # version conflict: compare with the document in the index
    RETRY = "retry"  # send the same ids again; repeating a write is safe
    SPLIT = "split"  # too large for the server or for a proxy before it
    BISECT = "bisect"  # one invalid document fails the whole request: find it
    REJECT = "reject"  # the index refuses this document
    RENEW = "renew"  # credentials may have expired: read them again once, then abort
    ABORT = "abort"  # no document can be written: stop the task


REQUEST_ACTIONS = {
    400: Action.BISECT,  # BulkRequest.validate() refuses all for one item, e.g. an id > 512 bytes
    401: Action.RENEW,
    402: Action.RETRY,  # Serverless: capacity reached, grows slowly
    408: Action.RETRY,
    413: Action.SPLIT,
    425: Action.RETRY,  # a proxy's "too early"
    429: Action.RETRY,  # rejected_execution, circuit breaker, indexing pressure, flood stage
    500: Action.RETRY,
    502: Action.RETRY,
    503: Action.RETRY,
    504: Action.RETRY,
}
"""Action by the status of the whole request; any other status aborts (403, 404, 501, 3xx …).
An answer of a proxy or firewall says nothing about OpenSearch: see `_foreign_action`."""

ITEM_ACTIONS = {
    MALFORMED: Action.RETRY,
    200: Action.DONE,
    201: Action.DONE,
    401: Action.ABORT,
    402: Action.RETRY,
    403: Action.ABORT,  # no right to write, or a cluster block: the index is read-only
    404: Action.ABORT,  # index or alias deleted; require_alias prevents creating a new index
    408: Action.RETRY,
    409: Action.CHECK,
    429: Action.RETRY,
    500: Action.RETRY,
    502: Action.RETRY,
    503: Action.RETRY,
    504: Action.RETRY,
}
"""Action by the status of one item; any other status rejects the document (400 …)."""

KINDS = (
    "bad_vector",
    "mapper_parsing",
    "pipeline",
    "rejected",
    "superseded",
    "too_large",
    "unavailable",
)
"""Failure kinds of writing."""
LASTING_KINDS = frozenset({"bad_vector", "mapper_parsing", "too_large"})
"""Kinds that are the document's own fault: it fails again until it changes."""

_ABORT_CAUSES = {
    401: "the user name and password are no longer accepted",
    403: "the user may not write there; grant it the right to write the index",
    404: "the index or its alias was deleted meanwhile; run again to create it",
}
_PROXY_LOGIN = 407
"""Proxy Authentication Required: no request passes."""
_MAPPING_TYPES = ("mapper_parsing", "document_parsing", "parsing")
_LONG_TERM = "immense term"
"""Part of the reason for a keyword that is too long, whose type is that of many other errors."""
_WRITTEN = ("created", "updated")


class SinkError(Exception):
    """No document can be written any more.

    Small and without documents, because Ray pickles it to the driver.

    Args:
        message: One line with place, cause and fix.
        status: HTTP status, or 0.
    """

    def __init__(self, message: str, status: int = 0) -> None:
        message = escape_line(redact_urls(message))
        super().__init__(message, status)
        self.message = message
        self.status = status

    def __str__(self) -> str:
        return self.message


def request_action(error: Exception) -> Action:
    """Return the action after opensearch-py raised an exception for a whole request."""
    from opensearchpy.exceptions import ConnectionError as NoConnection
    from opensearchpy.exceptions import SerializationError, SSLError, TransportError

    if isinstance(error, SSLError) or find_obstacle(cause_of(error)):
        return Action.ABORT
    if isinstance(error, NoConnection | SerializationError):
        return Action.RETRY  # refused, reset, timed out; or a proxy's page with status 200
    if isinstance(error, TransportError) and is_expired(error):
        return Action.RENEW
    if isinstance(error, TransportError) and is_foreign(error):
        return _foreign_action(status_of(error))
    if isinstance(error, TransportError):
        return REQUEST_ACTIONS.get(status_of(error), Action.ABORT)
    return Action.ABORT


def _foreign_action(status: int) -> Action:
    """Return the action after a proxy or firewall answered with this status."""
    if status in REQUEST_ACTIONS:
        return REQUEST_ACTIONS[status]
    if status == _PROXY_LOGIN:
        return Action.ABORT
    # A firewall refuses a request for the content of one of its documents.
    return Action.BISECT if status < 500 else Action.RETRY


def item_action(result: Mapping[str, Any], physical: str, alias: str) -> Action:
    """Return the action for the result of one written document.

    Args:
        result: The item's result, with a status.
        physical: Name of the index; '' if any index may have the document.
        alias: Name of the alias that it is written through.
    """
    cause = result.get("error")
    if cause is None:
        return _success_action(result, physical)
    if find_obstacle(cause):
        return Action.ABORT
    if physical and result.get("_index", physical) not in (physical, alias):
        return Action.DIVERTED
    return status_action(result["status"])


def status_action(status: int) -> Action:
    """Return the action for one item with this status."""
    return ITEM_ACTIONS.get(status, Action.REJECT)


def _success_action(result: Mapping[str, Any], physical: str) -> Action:
    action = status_action(result["status"])
    if action is not Action.DONE:
        return action
    if result.get("result") == "noop":
        return Action.DIVERTED  # the response to a document that a pipeline has dropped
    if result.get("result") not in _WRITTEN:
        return Action.RETRY  # no proof that it was written
    if not physical:
        return Action.DONE
    if "_index" not in result:
        return Action.RETRY
    return Action.DONE if result.get("_index") == physical else Action.DIVERTED


def failure_kind(error_type: str, reason: str = "") -> str:
    """Return the failure kind for an item's `error.type` and `error.reason`."""
    is_own_fault = error_type.startswith(_MAPPING_TYPES) or _LONG_TERM in reason
    return "mapper_parsing" if is_own_fault else "rejected"


def abort_error(
    endpoint: str, index: str, status: int, reason: str, obstacle: str = ""
) -> SinkError:
    """Return the exception that ends a write task.

    Args:
        endpoint: URL of the server.
        index: Alias or index that was written to.
        status: HTTP status, or 0.
        reason: The server's reason without document content; may be empty.
        obstacle: Cause and fix, if they are known better than from the status.
    """
    cause = obstacle or _ABORT_CAUSES.get(status, "the server does not accept bulk requests")
    answer = f"status {status}" if status else "no status"
    tail = f": {reason}" if reason else ""
    return SinkError(f"{index} at {endpoint} refuses writes ({answer}), {cause}{tail}", status)
