"""Write documents under ids that the server makes (Serverless collections for vectors)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from raypipe.core.book import Document
from raypipe.opensearch.bulk.item import BulkItem
from raypipe.opensearch.bulk.lost_responses import LostResponseResolver
from raypipe.opensearch.bulk.results import Rejected
from raypipe.opensearch.bulk.retry_budget import RetryBudget
from raypipe.opensearch.bulk.strategy import IndexedDocument
from raypipe.opensearch.bulk.target import BulkTarget
from raypipe.opensearch.index.copies import find_by_write_id, read_newest
from raypipe.opensearch.index.encoding import encode_item, to_indexed
from raypipe.opensearch.index.mapping import WRITE_ID
from raypipe.opensearch.index.pipelines import find_pipelines
from raypipe.opensearch.index.reads import VERSION_FIELDS
from raypipe.opensearch.index.ref import IndexRef

_NO_REQUEST = "0" * 32
_LINE_END = b'"}\n'


@dataclass(frozen=True)
class ServerIds:
    """The write strategy for servers that refuse ids and versions.

    A document carries the run's number and the id of the request that wrote it. A repeated write
    duplicates documents, so after a lost response a search shows which of them were written.

    Args:
        target: The index, for requests and messages.
        ref: The index.
        run_seq: Number of the writing run.
        visible_s: Seconds until a search finds every written document.
    """

    target: BulkTarget
    ref: IndexRef
    run_seq: int
    visible_s: float

    def id_of(self, document: Document) -> str:
        """Return the book's id."""
        return document.book_id

    def encode(self, document: Document) -> BulkItem | Rejected:
        """Return the lines of a document, or why no request can carry it."""
        extra = {"run_seq": self.run_seq, WRITE_ID: _NO_REQUEST}
        return encode_item(document, self.ref.content.dimension, {}, extra)

    def build_body(self, items: Sequence[BulkItem], request_id: str) -> bytes:
        """Return the NDJSON body of a request; each document carries the request's id."""
        return b"".join(_with_request_id(item.lines, request_id) for item in items)

    def matches(self, item: BulkItem, result: Mapping[str, Any]) -> bool:
        """Return True: the results hold ids of the server only."""
        return True

    def find_written(
        self, request_id: str, ids: Collection[str], reason: str, budget: RetryBudget
    ) -> set[str]:
        """Return which documents of a request a search finds, at the latest after `visible_s`.

        Raises:
            SinkError: The index is deleted, or refuses these credentials.
        """
        resolver = LostResponseResolver(self.target, self._search, self.visible_s)
        return resolver.find_written(request_id, ids, reason, budget)

    def read_indexed(self, ids: Collection[str]) -> dict[str, IndexedDocument | None]:
        """Return the books' newest documents; None for a missing document.

        Raises:
            SetupError: The server cannot be used.
        """
        connection, physical = self.target.connection, self.ref.physical
        documents = read_newest(connection, physical, ids, VERSION_FIELDS)
        return {
            book_id: None if source is None else to_indexed(source, 0, self.run_seq)
            for book_id, source in documents.items()
        }

    def with_version(self, item: BulkItem, version: int) -> BulkItem:
        """Return the item unchanged: a collection has no versions."""
        return item

    def find_pipelines(self) -> Sequence[str]:
        """Return the names of the ingest pipelines of the index.

        Raises:
            opensearchpy.exceptions.OpenSearchException: The request failed; it is not retried.
        """
        return find_pipelines(self.target.connection, self.ref.physical)

    def _search(self, request_id: str) -> set[str]:
        return find_by_write_id(self.target.connection, self.ref.physical, request_id)


def _with_request_id(lines: bytes, request_id: str) -> bytes:
    """Return a document's lines with the request's id in place of `_NO_REQUEST` at their end."""
    return lines[: -len(_NO_REQUEST) - len(_LINE_END)] + request_id.encode() + _LINE_END
