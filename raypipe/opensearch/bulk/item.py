"""A document as lines of a bulk request, and the match between items and results."""

from __future__ import annotations

from collections.abc import Sized
from dataclasses import dataclass
from typing import Any

MALFORMED = 0
"""Status of a result that OpenSearch would not give."""
_MALFORMED_RESULT = {
    "status": MALFORMED,
    "error": {"type": "malformed_result", "reason": "the result is not OpenSearch's"},
}
_STATUSES = range(100, 600)
_SUCCESSES = range(200, 300)

ContentKey = tuple[str, ...]
"""Identifies a document's content: two documents with equal keys are the same document."""


@dataclass(slots=True)
class BulkItem:
    """One document of a bulk request.

    Args:
        doc_id: The client's id of the document.
        content_key: Identifies the content, to recognize the same document in the index.
        lines: Action and source as NDJSON.
        attempts: Failed requests with this item.
        failed_at: Time of the first of them, in monotonic seconds.
    """

    doc_id: str
    content_key: ContentKey
    lines: bytes
    attempts: int = 0
    failed_at: float = 0.0


def parse_results(items: Sized, response: Any) -> list[dict[str, Any]] | str:
    """Return the response's result for each item, in order, with a status and text in its error.

    A result that OpenSearch would not give has the status `MALFORMED` and an error that tells so.

    Args:
        items: The documents of the request.
        response: The decoded response.

    Returns:
        The results; or a text about a response that does not hold a result for each item.
    """
    if not isinstance(response, dict):
        found = type(response).__name__ if response else "nothing"
        return f"the answer is {found} instead of a JSON object"
    cells = response.get("items")
    if not isinstance(cells, list):
        return "the answer has no list of results"
    if len(cells) != len(items):
        return f"the answer has {len(cells)} results for {len(items)} documents"
    return [_read_result(cell) or dict(_MALFORMED_RESULT) for cell in cells]


def _read_result(cell: Any) -> dict[str, Any] | None:
    """Return the result of an item; None if OpenSearch would not give it."""
    result = next(iter(cell.values()), None) if isinstance(cell, dict) else None
    if not isinstance(result, dict):
        return None
    status, error = result.get("status"), result.get("error")
    if type(status) is not int or status not in _STATUSES:
        return None
    if not isinstance(result.get("_index", ""), str):
        return None
    if error is None:
        return result
    if isinstance(error, str):
        error = {"type": "error", "reason": error}
    if not isinstance(error, dict) or status in _SUCCESSES:
        return None  # a success with an error proves neither
    parts = {name: value for name, value in error.items() if isinstance(value, str)}
    return {**result, "error": parts}
