"""A document as the lines of a bulk request, and the server's answers to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from raypipe.core.book import Document
from raypipe.core.errors import BookError
from raypipe.opensearch.bulk.results import Rejected
from raypipe.opensearch.index.mapping import VECTOR, WRITE_ID, body_of

_JSON = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE
_NOT_SENT = "0" * 32
_END = b'"}\n'


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


def encoded(
    document: Document, dimension: int, version: int, *, has_ids: bool = True
) -> Item | Rejected:
    """Return the lines of a document, or why no request can carry it.

    Args:
        document: What to index.
        dimension: Length of the index's vectors.
        version: The writing run's number.
        has_ids: Whether the server takes ids and versions; else the document carries its number,
            and a place for the name of the request, see `written_by`.
    """
    versioned = {"_id": document.book_id, "version": version, "version_type": "external_gte"}
    action: dict[str, Any] = versioned if has_ids else {}
    try:
        body = body_of(document, dimension, clean=False)
        if not has_ids:
            body |= {"run_seq": version, WRITE_ID: _NOT_SENT}
        lines = orjson.dumps({"index": action}, option=_JSON) + _source(document, body)
    except BookError as error:
        return Rejected(document.book_id, error.kind, error.message, error.retryable)
    except orjson.JSONEncodeError as error:
        message = f"{document.key} cannot be written as JSON: {error}"
        return Rejected(document.book_id, "rejected", message, retryable=False)
    return Item(document.book_id, (body["etag"], body["document_recipe"]), lines)


def written_by(lines: bytes, write_id: str) -> bytes:
    """Return the lines of a document with the name of the request in its place.

    Args:
        lines: As `encoded` makes them where the server takes no ids.
        write_id: 32 ASCII characters.
    """
    return lines[: -len(_NOT_SENT) - len(_END)] + write_id.encode() + _END


def answers_to(
    batch: list[Item], answer: Any, *, has_ids: bool = True
) -> list[dict[str, Any]] | None:
    """Return the answer's items, or None unless they are one for each document, in order."""
    items = answer.get("items") if isinstance(answer, dict) else None
    if not isinstance(items, list) or len(items) != len(batch):
        return None
    inner = [next(iter(item.values()), None) if isinstance(item, dict) else None for item in items]
    for item, cell in zip(batch, inner, strict=True):
        if not isinstance(cell, dict) or not isinstance(cell.get("status"), int):
            return None
        if has_ids and cell.get("_id") != item.book_id:
            return None
    return [cell for cell in inner if cell is not None]


def _source(document: Document, body: dict[str, Any]) -> bytes:
    """Return a document's line; texts are looked through only where orjson stumbles on one."""
    try:
        return orjson.dumps(body, option=_JSON)
    except orjson.JSONEncodeError:
        clean = body_of(document, body[VECTOR].size)
        clean |= {name: body[name] for name in ("run_seq", WRITE_ID) if name in body}
        return orjson.dumps(clean, option=_JSON)
