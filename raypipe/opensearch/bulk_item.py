"""A document as the lines of a bulk request, and the server's answers to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from raypipe.book import BookError, Document
from raypipe.opensearch.bulk_results import Rejected
from raypipe.opensearch.mapping import VECTOR, body_of

_JSON = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE


@dataclass(slots=True)
class Item:
    """One document on its way.

    Args:
        book_id: Its `_id`.
        fate: ETag and document recipe: where both are equal it is the same document.
        lines: Action and source as NDJSON.
        attempts: Requests with it that failed.
        since: When the first of them failed.
    """

    book_id: str
    fate: tuple[str, str]
    lines: bytes
    attempts: int = 0
    since: float = 0.0


def encoded(document: Document, dimension: int, version: int) -> Item | Rejected:
    """Return the lines of a document, or why no request can carry it.

    Args:
        document: What to index.
        dimension: Length of the index's vectors.
        version: The writing run's number.
    """
    action = {"_id": document.book_id, "version": version, "version_type": "external_gte"}
    try:
        body = body_of(document, dimension, clean=False)
        lines = orjson.dumps({"index": action}, option=_JSON) + _source(document, body)
    except BookError as error:
        return Rejected(document.book_id, error.kind, error.message, error.retryable)
    except orjson.JSONEncodeError as error:
        message = f"{document.key} cannot be written as JSON: {error}"
        return Rejected(document.book_id, "rejected", message, retryable=False)
    return Item(document.book_id, (body["etag"], body["document_recipe"]), lines)


def answers_to(batch: list[Item], answer: Any) -> list[dict[str, Any]] | None:
    """Return the answer's items, or None unless they are one for each document, in order."""
    items = answer.get("items") if isinstance(answer, dict) else None
    if not isinstance(items, list) or len(items) != len(batch):
        return None
    inner = [next(iter(item.values()), None) if isinstance(item, dict) else None for item in items]
    for item, cell in zip(batch, inner, strict=True):
        if not isinstance(cell, dict) or not isinstance(cell.get("status"), int):
            return None
        if cell.get("_id") != item.book_id:
            return None
    return [cell for cell in inner if cell is not None]


def _source(document: Document, body: dict[str, Any]) -> bytes:
    """Return a document's line; texts are looked through only where orjson stumbles on one."""
    try:
        return orjson.dumps(body, option=_JSON)
    except orjson.JSONEncodeError:
        return orjson.dumps(body_of(document, body[VECTOR].size), option=_JSON)
