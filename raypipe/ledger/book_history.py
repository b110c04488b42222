"""What a state records about a single book: documents, acknowledgements, failures, deletions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from raypipe.core.book import DOCUMENT_SCHEMA
from raypipe.core.errors import SetupError
from raypipe.ledger.facade import Ledger
from raypipe.ledger.failure_log import DEGRADED

_VECTOR = "summary_vector"
_COLUMNS = [name for name in DOCUMENT_SCHEMA.names if name != _VECTOR]
_MAX_SHOWN = 5

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class BookHistory:
    """The records of a book, each list oldest first.

    Args:
        book_id: Id of the book.
        key: Its key; '' if no record has it.
        documents: Rows of `DOCUMENT_SCHEMA` without the vector.
        processed: Acknowledgements of indices; those without a recipe are deletions.
        failures: The last failure in each run.
        deletions: Deletions from the source, and returns to it.
    """

    book_id: str
    key: str = ""
    documents: Rows = field(default_factory=list)
    processed: Rows = field(default_factory=list)
    failures: Rows = field(default_factory=list)
    deletions: Rows = field(default_factory=list)

    @property
    def status(self) -> str:
        """Return `deleted`, `failed`, `indexed` or `finished`, by the newest record."""
        if self.deletions and self.deletions[-1]["removed"]:
            return "deleted"
        acknowledged = max((row["run_seq"] for row in self.processed), default=0)
        finished = max((row["run_seq"] for row in self.documents), default=0)
        failures = (row["run_seq"] for row in self.failures if row["kind"] != DEGRADED)
        failed = max(failures, default=0)
        if failed > acknowledged and failed >= finished:
            return "failed"
        return "indexed" if acknowledged else "finished"


def find_books(ledger: Ledger, name: str) -> list[BookHistory]:
    """Return the books with a key or an id, or else the only book whose key or title has the text.

    Args:
        ledger: The ledger of a state.
        name: Key, id, or a part of a key or a title.

    Raises:
        SetupError: No book or several books fit, or the state cannot be read.
    """
    ids = _find_ids(ledger, name)
    if not ids:
        similar = _find_similar(ledger, name)
        if len(similar) != 1:
            raise SetupError(_explain_no_book(ledger.state.uri, name, list(similar.values())))
        ids = set(similar)
    return [read_history(ledger, book_id) for book_id in sorted(ids)]


def read_history(ledger: Ledger, book_id: str) -> BookHistory:
    """Return what the state records about a book.

    Raises:
        SetupError: The state cannot be read.
    """
    documents = _sort(ledger.documents.read_where("book_id", book_id, _COLUMNS), "finished_at")
    failures = _sort(ledger.failures.read_where("book_id", book_id), "failed_at")
    deletions = _sort(ledger.tombstones.read_where("book_id", book_id), "removed_at")
    processed = _sort(ledger.checkpoint.read_book(book_id), "processed_at")
    keys = [row["key"] for row in (*documents, *failures, *deletions) if row["key"]]
    return BookHistory(book_id, keys[-1] if keys else "", documents, processed, failures, deletions)


def _find_ids(ledger: Ledger, name: str) -> set[str]:
    tables = [
        table
        for column in ("key", "book_id")
        for table in (
            ledger.documents.read_where(column, name, ["book_id"]),
            ledger.failures.read_where(column, name),
            ledger.tombstones.read_where(column, name),
        )
    ]
    tables.append(ledger.checkpoint.read_book(name))
    return {book_id for table in tables for book_id in table["book_id"].to_pylist()}


def _find_similar(ledger: Ledger, name: str) -> dict[str, str]:
    """Return the keys, by book id, of the books whose key or title has the text; case ignored."""
    wanted = name.casefold()
    documents = ledger.documents.read_newest(["book_id", "key", "title"]).to_pylist()
    failures = ledger.failures.read_latest().select(["book_id", "key"]).to_pylist()
    return {
        row["book_id"]: row["key"]
        for row in (*documents, *failures)
        if wanted in row["key"].casefold() or wanted in row.get("title", "").casefold()
    }


def _explain_no_book(uri: str, name: str, similar: list[str]) -> str:
    if similar:
        shown = ", ".join(sorted(similar)[:_MAX_SHOWN])
        more = ", ..." if len(similar) > _MAX_SHOWN else ""
        return f"{len(similar):,} books fit {name}; name one by its key: {shown}{more}"
    return (
        f"no run recorded a book {name} in the state {uri}; `raypipe plan` counts the books that "
        "are new at the source"
    )


def _sort(table: pa.Table, moment: str) -> Rows:
    rows: Rows = table.sort_by([("run_seq", "ascending"), (moment, "ascending")]).to_pylist()
    return rows
