"""The row contract: the data that travels between the stages, and its Arrow schemas.

A batch of books is a single row of Ray. Ray splits and merges blocks by their bytes, so this is
the way to decide which books a Ray task processes.
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


@dataclass(frozen=True, slots=True)
class Book:
    """A book as the listing of its source describes it, before any GET."""

    book_id: str
    key: str
    etag: str
    size: int
    modified: float  # seconds since the epoch, UTC
    attempts: int = 0  # failed attempts so far with this ETag and recipe
    part: str = ""  # part of the documents that already holds a summary of this book, or ''


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a book is not in the index, as it is recorded and shown."""

    stage: str  # read | text | summarize | embed | index
    kind: str
    message: str
    retryable: bool
    attempts: int  # including this attempt


BYTES_A_NUMBER = 12
"""Bytes of a float32 in JSON, with its comma (measured: 10.5 to 11.7)."""
_OTHER_BYTES = 1_000
"""Bytes of a document's ids, recipes, names and short fields in JSON (measured: 850 to 1,100)."""


@dataclass(frozen=True, slots=True)
class Document:
    """A finished book, as it is kept in the documents parquet and indexed in OpenSearch."""

    book_id: str
    key: str
    etag: str
    source: str  # identity of the book source, e.g. s3://bucket
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
    model_calls: int  # paid for this book, by the run or earlier ones; chat and embedding
    input_tokens: int
    output_tokens: int
    run_seq: int
    finished_at: float
    node_id: str
    summary_vector: tuple[float, ...]  # shape (dimension,), float32
    # Only a model fills these.
    genre: str = ""
    setting: str = ""
    period: str = ""
    plot: str = ""
    themes: tuple[str, ...] = ()
    characters: tuple[str, ...] = ()
    sections: tuple[str, ...] = ()  # a summary of each part of the book, after its heading
    degraded: str = ""  # why the summary comes from the fallback and not from the model
    usd: float = 0.0  # of model_calls; not in the index

    def estimate_bytes(self) -> int:
        """Return about how many bytes the document has in a bulk request, without encoding it."""
        texts = (self.title, self.author, self.summary, self.setting, self.plot)
        lists = (self.keywords, self.themes, self.characters, self.sections)
        characters = sum(map(len, texts)) + sum(len(item) for items in lists for item in items)
        return characters + _OTHER_BYTES + BYTES_A_NUMBER * len(self.summary_vector)


@dataclass(frozen=True, slots=True)
class Row:
    """A book between the stages; the last stage sees exactly one of document, failure and left."""

    book: Book
    document: Document | None = None
    failure: Failure | None = None
    left: str = ""  # why the book is left for another run: stop, breaker

    @property
    def is_open(self) -> bool:
        """Whether the next stage has to process this row."""
        return self.failure is None and not self.left


MODEL_FIELDS = (
    *("genre", "setting", "period", "plot", "themes", "characters", "sections", "degraded"),
)
"""Fields of `Document` that only a model fills."""

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
        ("usd", pa.float64()),
        ("run_seq", pa.int64()),
        ("finished_at", pa.float64()),
        ("node_id", pa.string()),
        ("summary_vector", pa.list_(pa.float32())),
    ]
)
_LIST_COLUMNS = tuple(field.name for field in DOCUMENT_SCHEMA if pa.types.is_list(field.type))
_TEXT_COLUMNS = tuple(field.name for field in DOCUMENT_SCHEMA if pa.types.is_string(field.type))

BATCH_SCHEMA = pa.schema([("books", pa.int32()), ("rows", pa.binary())])
"""A batch: number of books, and their rows as JSON. Building nested Arrow took 20 times longer."""


def book_id(source: str, key: str) -> str:
    """Return the stable id of a book, which is also its `_id` in OpenSearch.

    Args:
        source: Identity of the book source, the same wherever a run happens.
        key: Key of the book in that source.

    Returns:
        64 hex digits. A key itself may exceed the 512 bytes of an OpenSearch id.
    """
    return hashlib.sha256(f"{source}\0{key}".encode("utf-8", "surrogatepass")).hexdigest()


def to_table(rows: Iterable[Row]) -> pa.Table:
    """Return rows as a batch: a table of `BATCH_SCHEMA` with a single row."""
    batch = list(rows)
    return pa.table({"books": [len(batch)], "rows": [_encode(batch)]}, schema=BATCH_SCHEMA)


def from_table(batches: pa.Table) -> list[Row]:
    """Return the rows of all batches in a table of `BATCH_SCHEMA`."""
    return [_decode(cell) for data in batches["rows"] for cell in orjson.loads(data.as_py())]


def with_valid_text(rows: list[Row]) -> list[Row]:
    """Return rows that can be written; half a surrogate pair in a text becomes `?`."""
    try:
        orjson.dumps(rows)
    except orjson.JSONEncodeError:
        return from_table(to_table(rows))
    return rows


def count_books(batches: pa.Table) -> int:
    """Return the number of books in a table of `BATCH_SCHEMA`."""
    return sum(batches["books"].to_pylist())


def documents_table(documents: Iterable[Document]) -> pa.Table:
    """Return documents as a table of `DOCUMENT_SCHEMA`."""
    names = [field.name for field in dataclasses.fields(Document)]
    rows = [{name: getattr(document, name) for name in names} for document in documents]
    return pa.Table.from_pylist(rows, schema=DOCUMENT_SCHEMA)


def document_from(cells: dict[str, Any]) -> Document:
    """Return a document from a row of `DOCUMENT_SCHEMA`.

    Args:
        cells: Values by column; null in columns that an older version of raypipe did not write.
    """
    lists = {name: tuple(cells[name] or ()) for name in _LIST_COLUMNS}
    texts = {name: cells[name] or "" for name in _TEXT_COLUMNS}
    return Document(**{**cells, **lists, **texts, "usd": cells["usd"] or 0.0})


def _encode(batch: list[Row]) -> bytes:
    try:
        return orjson.dumps(batch)
    except orjson.JSONEncodeError:
        # Half a surrogate pair in a model's answer is not valid text; replace the character.
        rows = [dataclasses.asdict(row) for row in batch]
        return json.dumps(rows, ensure_ascii=False).encode("utf-8", "replace")


def _decode(cell: dict[str, Any]) -> Row:
    return Row(
        book=Book(**cell["book"]),
        document=document_from(cell["document"]) if cell["document"] else None,
        failure=Failure(**cell["failure"]) if cell["failure"] else None,
        left=cell["left"],
    )
