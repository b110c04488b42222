"""A document as lines of a bulk request, and the match between items and results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

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


def parse_results(items: Sequence[BulkItem], response: Any) -> list[dict[str, Any]] | None:
    """Return the response's result for each item, in order.

    Returns None if the response does not hold one result with a status for each item.
    """
    cells = response.get("items") if isinstance(response, dict) else None
    if not isinstance(cells, list) or len(cells) != len(items):
        return None
    results: list[dict[str, Any]] = []
    for cell in cells:
        result = next(iter(cell.values()), None) if isinstance(cell, dict) else None
        if not isinstance(result, dict) or not isinstance(result.get("status"), int):
            return None
        results.append(result)
    return results
