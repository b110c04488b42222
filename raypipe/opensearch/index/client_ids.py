"""Write documents under the client's ids, with external versions."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from raypipe.core.book import Document
from raypipe.opensearch.bulk.item import BulkItem
from raypipe.opensearch.bulk.results import Rejected
from raypipe.opensearch.bulk.retry_budget import RetryBudget
from raypipe.opensearch.bulk.strategy import IndexedDocument
from raypipe.opensearch.connection.client import Connection
from raypipe.opensearch.index.encoding import encode_item, to_indexed
from raypipe.opensearch.index.pipelines import find_pipelines
from raypipe.opensearch.index.reads import VERSION_FIELDS, get_cells
from raypipe.opensearch.index.ref import IndexRef


@dataclass(frozen=True)
class ClientIds:
    """The write strategy for servers that take ids and versions.

    The book's id is the `_id`, and the run's number the version (`external_gte`): a write can be
    repeated, and a task of an older run overwrites nothing newer.

    Args:
        connection: Connection to the server.
        ref: The index.
        run_seq: Number of the writing run.
    """

    connection: Connection
    ref: IndexRef
    run_seq: int

    def id_of(self, document: Document) -> str:
        """Return the book's id."""
        return document.book_id

    def encode(self, document: Document) -> BulkItem | Rejected:
        """Return the lines of a document, or why no request can carry it."""
        action = versioned_id(document.book_id, self.run_seq)
        # The number of the run that writes it, not of the run that made it: the highest number in
        # an index is then the highest version.
        extra = {"run_seq": self.run_seq}
        return encode_item(document, self.ref.content.dimension, action, extra)

    def build_body(self, items: Sequence[BulkItem], request_id: str) -> bytes:
        """Return the NDJSON body of a request."""
        return b"".join(item.lines for item in items)

    def matches(self, item: BulkItem, result: Mapping[str, Any]) -> bool:
        """Return whether a result has the id of an item."""
        return bool(result.get("_id") == item.doc_id)

    def find_written(
        self, request_id: str, ids: Collection[str], reason: str, budget: RetryBudget
    ) -> set[str]:
        """Return an empty set: every write can be repeated."""
        return set()

    def read_indexed(self, ids: Collection[str]) -> dict[str, IndexedDocument | None]:
        """Return the documents with these ids; None for a missing document.

        Raises:
            opensearchpy.exceptions.OpenSearchException: The request failed; it is not retried.
        """
        cells = get_cells(self.connection, self.ref.physical, ids, VERSION_FIELDS)
        return {
            doc_id: None
            if cell is None
            else to_indexed(cell["_source"], cell["_version"], self.run_seq)
            for doc_id, cell in cells.items()
        }

    def with_version(self, item: BulkItem, version: int) -> BulkItem:
        """Return an item that is written with at least this version."""
        action = {"index": versioned_id(item.doc_id, max(version, self.run_seq))}
        source = item.lines.partition(b"\n")[2]
        lines = orjson.dumps(action, option=orjson.OPT_APPEND_NEWLINE) + source
        return replace(item, lines=lines)

    def find_pipelines(self) -> Sequence[str]:
        """Return the names of the ingest pipelines of the index.

        Raises:
            opensearchpy.exceptions.OpenSearchException: The request failed; it is not retried.
        """
        return find_pipelines(self.connection, self.ref.physical)


def versioned_id(book_id: str, run_seq: int) -> dict[str, Any]:
    """Return the action metadata that writes or deletes a document in the version of a run."""
    return {"_id": book_id, "version": run_seq, "version_type": "external_gte"}
