"""The row contract: what travels between the stages, and its Arrow schemas.

A *parcel* is one Ray row that carries a few books, so that one Ray task works on exactly the
books we chose for it: Ray cuts and merges blocks by bytes, never by our count.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import orjson
import pyarrow as pa


class BookError(Exception):
    """One book cannot be done; its neighbors can.

    Args:
        kind: A short stable word, see `raypipe.ledger.failures.KINDS`.
        message: What happened, for a person; never the book's text.
        retryable: Whether a later run may succeed without the book changing.
    """

    def __init__(self, kind: str, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.retryable = retryable

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by keyword: Exception's own way loses `retryable`."""
        return (_book_error, (self.kind, self.message, self.retryable))


def _book_error(kind: str, message: str, retryable: bool) -> BookError:
    return BookError(kind, message, retryable=retryable)


class LeftError(Exception):
    """A book is left for another run: a stop or the budget came first.

    Args:
        reason: Why, for a person.
        stops: Nothing else may begin either (the budget is used up); the run stops.
    """

    def __init__(self, reason: str, *, stops: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.stops = stops

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by keyword: Exception's own way loses `stops`."""
        return (_left_error, (self.reason, self.stops))


def _left_error(reason: str, stops: bool) -> LeftError:
    return LeftError(reason, stops=stops)


@dataclass(frozen=True, slots=True)
class Book:
    """A source object as the listing shows it, before any GET."""

    book_id: str
    key: str
    etag: str
    size: int
    modified: float  # seconds since the epoch, UTC
    attempts: int = 0  # failed attempts so far at this ETag and recipe
    part: str = ""  # the documents part that already holds this book's summary, if any


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a book is not in the index, as recorded and shown."""

    stage: str  # read | text | summarize | embed | index
    kind: str
    message: str
    retryable: bool
    attempts: int  # this one included


@dataclass(frozen=True, slots=True)
class Document:
    """A finished book: what the documents parquet keeps and OpenSearch indexes."""

    book_id: str
    key: str
    etag: str
    source: str  # the store's identity, e.g. s3://bucket
    size: int
    modified: float
    title: str
    author: str
    language: str
    words: int
    encoding: str
    flags: tuple[str, ...]
    text_sha256: str
    text_recipe: str
    summary_recipe: str
    document_recipe: str
    summarizer: str
    embedder: str
    summary: str
    keywords: tuple[str, ...]
    model_calls: int
    input_tokens: int
    output_tokens: int
    run_seq: int
    finished_at: float
    node_id: str
    summary_vector: tuple[float, ...]  # shape (dimension,), float32
    # What only a model tells.
    genre: str = ""
    setting: str = ""
    period: str = ""
    plot: str = ""
    themes: tuple[str, ...] = ()
    characters: tuple[str, ...] = ()
    sections: tuple[str, ...] = ()  # of each part of the book, its heading first
    degraded: str = ""  # why the summary is the fallback's and not the model's


@dataclass(frozen=True, slots=True)
class Row:
    """One book on its way: exactly one of document, failure and left is set at the end."""

    book: Book
    document: Document | None = None
    failure: Failure | None = None
    left: str = ""  # why it was not begun: stop, breaker

    @property
    def open(self) -> bool:
        """Whether the next stage has work to do on this row."""
        return self.failure is None and not self.left


MODEL_FIELDS = (
    *("genre", "setting", "period", "plot", "themes", "characters", "sections", "degraded"),
)
"""Fields of a document that only a model fills."""

DOCUMENT_SCHEMA = pa.schema(
    [
        ("book_id", pa.string()),
        ("key", pa.string()),
        ("etag", pa.string()),
        ("source", pa.string()),
        ("size", pa.int64()),
        ("modified", pa.float64()),
        ("title", pa.string()),
        ("author", pa.string()),
        ("language", pa.string()),
        ("words", pa.int64()),
        ("encoding", pa.string()),
        ("flags", pa.list_(pa.string())),
        ("text_sha256", pa.string()),
        ("text_recipe", pa.string()),
        ("summary_recipe", pa.string()),
        ("document_recipe", pa.string()),
        ("summarizer", pa.string()),
        ("embedder", pa.string()),
        ("summary", pa.string()),
        ("keywords", pa.list_(pa.string())),
        ("genre", pa.string()),
        ("setting", pa.string()),
        ("period", pa.string()),
        ("plot", pa.string()),
        ("themes", pa.list_(pa.string())),
        ("characters", pa.list_(pa.string())),
        ("sections", pa.list_(pa.string())),
        ("degraded", pa.string()),
        ("model_calls", pa.int32()),
        ("input_tokens", pa.int64()),
        ("output_tokens", pa.int64()),
        ("run_seq", pa.int64()),
        ("finished_at", pa.float64()),
        ("node_id", pa.string()),
        ("summary_vector", pa.list_(pa.float32())),
    ]
)
_LISTS = tuple(one.name for one in DOCUMENT_SCHEMA if pa.types.is_list(one.type))
_TEXTS = tuple(one.name for one in DOCUMENT_SCHEMA if pa.types.is_string(one.type))
BATCH_SCHEMA = pa.schema([("books", pa.int32()), ("rows", pa.binary())])
"""One row: how many books, and their rows as JSON (building nested Arrow took 20 times longer)."""


def book_id(source: str, key: str) -> str:
    """Return the stable id of a book, which is also its OpenSearch `_id`.

    Args:
        source: The store's identity, the same wherever the run happens.
        key: The object's key in that store.

    Returns:
        64 hex digits: OpenSearch allows ids of 512 bytes, keys may be longer.
    """
    return hashlib.sha256(f"{source}\0{key}".encode("utf-8", "surrogatepass")).hexdigest()


def to_table(rows: Iterable[Row]) -> pa.Table:
    """Return the rows as one parcel: a table of one row."""
    parcel = list(rows)
    return pa.table({"books": [len(parcel)], "rows": [_encoded(parcel)]}, schema=BATCH_SCHEMA)


def from_table(parcels: pa.Table) -> list[Row]:
    """Return the rows of all parcels in a table."""
    return [_row(cell) for data in parcels["rows"] for cell in orjson.loads(data.as_py())]


def documents_table(documents: Iterable[Document]) -> pa.Table:
    """Return documents as a table of `DOCUMENT_SCHEMA`."""
    return pa.Table.from_pylist([_flat(doc) for doc in documents], schema=DOCUMENT_SCHEMA)


def document_from(cell: dict[str, Any]) -> Document:
    """Return a document from a row of `DOCUMENT_SCHEMA` as a dict; older ones lack some cells."""
    lists = {name: tuple(cell[name] or ()) for name in _LISTS}
    texts = {name: cell[name] or "" for name in _TEXTS}
    return Document(**{**cell, **lists, **texts})


def _flat(part: Document) -> dict[str, Any]:
    return {field.name: getattr(part, field.name) for field in dataclasses.fields(part)}


def _encoded(parcel: list[Row]) -> bytes:
    try:
        return orjson.dumps(parcel)
    except orjson.JSONEncodeError:
        # Half a surrogate pair is no text; one in a model's answer must not end the parcel.
        cells = [dataclasses.asdict(row) for row in parcel]
        return json.dumps(cells, ensure_ascii=False).encode("utf-8", "replace")


def _row(cell: dict[str, Any]) -> Row:
    return Row(
        book=Book(**cell["book"]),
        document=document_from(cell["document"]) if cell["document"] else None,
        failure=Failure(**cell["failure"]) if cell["failure"] else None,
        left=cell["left"],
    )
