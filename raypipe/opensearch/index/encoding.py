"""Encode a document for the index: its JSON body, and its lines of a bulk request."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from raypipe.core.book import MODEL_FIELDS, Document
from raypipe.core.errors import BookError
from raypipe.opensearch.bulk.item import BulkItem, ContentKey
from raypipe.opensearch.bulk.results import Rejected
from raypipe.opensearch.bulk.strategy import IndexedDocument
from raypipe.opensearch.index.mapping import FIELDS, LONG, VECTOR

CONTENT_KEY = ("etag", "document_recipe")
"""Fields that identify a document's content."""
_JSON_LINE = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE
_TEXTS = tuple(
    name
    for name, field in FIELDS.items()
    if field["type"] in ("keyword", "text") and name != "about"
)
_NUMBERS = tuple(name for name, field in FIELDS.items() if field is LONG)
_texts_of, _numbers_of = attrgetter(*_TEXTS), attrgetter(*_NUMBERS)


def encode_item(
    document: Document,
    dimension: int,
    action: Mapping[str, Any],
    extra: dict[str, Any] | None = None,
) -> BulkItem | Rejected:
    """Return the bulk lines of a document, or why no request can carry it.

    Args:
        document: Document to index.
        dimension: Length of the index's vectors.
        action: Metadata of the `index` action.
        extra: Further fields of the body; added at its end.
    """
    try:
        body = document_body(document, dimension, clean=False) | (extra or {})
        action_line = orjson.dumps({"index": action}, option=_JSON_LINE)
        lines = action_line + _source_line(document, dimension, body, extra)
    except BookError as error:
        return Rejected(document.book_id, error.kind, error.message, error.retryable)
    except orjson.JSONEncodeError as error:
        message = f"{document.key} cannot be written as JSON: {error}"
        return Rejected(document.book_id, "rejected", message, retryable=False)
    return BulkItem(document.book_id, tuple(body[name] for name in CONTENT_KEY), lines)


def to_indexed(source: Mapping[str, Any], version: int, run_seq: int) -> IndexedDocument:
    """Return a document of the index for a comparison with a refused one.

    Args:
        source: Its `VERSION_FIELDS`.
        version: Its version on the server.
        run_seq: Number of the run that compares it.
    """
    content_key: ContentKey = tuple(source.get(name, "") for name in CONTENT_KEY)
    return IndexedDocument(content_key, int(source.get("run_seq") or 0) > run_seq, version)


def document_body(document: Document, dimension: int, *, clean: bool = True) -> dict[str, Any]:
    """Return a document as the index stores it, for `orjson` with `OPT_SERIALIZE_NUMPY`.

    Times become whole milliseconds.

    Args:
        document: Document to index.
        dimension: Length of the index's vectors.
        clean: Replace lone surrogates, which UTF-8 cannot encode, by `?`.

    Raises:
        BookError: `bad_vector`: wrong dimension, a value that is not finite, or length 0, which
            cosine similarity does not allow (k-NN's SpaceType refuses it for the whole item).
    """
    body: dict[str, Any] = {
        name: _replace_surrogates(value) if clean else value
        for name, value in zip(_TEXTS, _texts_of(document), strict=True)
        # Empty fields that only a model fills are left out: they would cost every other document.
        if value or name not in MODEL_FIELDS
    }
    body.update(zip(_NUMBERS, _numbers_of(document), strict=True))
    body["modified"] = _to_millis(document.modified)
    body["finished_at"] = _to_millis(document.finished_at)
    body[VECTOR] = _checked_vector(document.summary_vector, dimension, document.key)
    return body


def _source_line(
    document: Document, dimension: int, body: dict[str, Any], extra: dict[str, Any] | None
) -> bytes:
    """Return a document's line; texts are cleaned only if orjson fails on one."""
    try:
        return orjson.dumps(body, option=_JSON_LINE)
    except orjson.JSONEncodeError:
        return orjson.dumps(document_body(document, dimension) | (extra or {}), option=_JSON_LINE)


def _replace_surrogates(value: str | tuple[str, ...]) -> str | tuple[str, ...]:
    text = value if isinstance(value, str) else "".join(value)  # one check for many keywords
    if text.isascii():
        return value
    try:
        text.encode()
    except UnicodeEncodeError:
        if isinstance(value, str):
            return value.encode("utf-8", "replace").decode()
        return tuple(str(_replace_surrogates(item)) for item in value)
    return value


def _to_millis(seconds: float) -> int | None:
    millis = seconds * 1000
    return round(millis) if math.isfinite(millis) else None


def _checked_vector(values: Sequence[float], dimension: int, key: str) -> NDArray[np.float32]:
    # Values too large for float32 become infinite and are refused below.
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        vector = np.asarray(values, dtype=np.float32)
        if vector.shape != (dimension,):
            message = f"the vector of {key} has {vector.size} values, not {dimension}"
            raise BookError("bad_vector", message)
        # In float32 like the server: a length may overflow or vanish only there.
        square = float(np.dot(vector, vector))
    if not math.isfinite(square):
        raise BookError("bad_vector", f"the vector of {key} is not finite")
    if square <= 0.0:
        raise BookError("bad_vector", f"the vector of {key} has length 0")
    return vector
