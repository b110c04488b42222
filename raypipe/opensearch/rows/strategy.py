"""Encode rows as documents for the bulk writer, with ids of the client or of the server."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from raypipe.opensearch.bulk.item import BulkItem
from raypipe.opensearch.bulk.results import Rejected
from raypipe.opensearch.bulk.retry_budget import RetryBudget
from raypipe.opensearch.bulk.strategy import IndexedDocument
from raypipe.opensearch.connection.client import Connection
from raypipe.opensearch.index.pipelines import find_pipelines
from raypipe.opensearch.rows.documents import RowDocument

_JSON_LINE = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE
_NO_ID = b'{"index":{}}\n'


@dataclass
class RowStrategy:
    """The write strategy for rows: the last write of an id wins.

    With ids of the client a write can be repeated. A server that makes the ids itself gets a
    document again after a lost response, so that none is lost; it may then be there twice.

    Args:
        connection: Connection to the server.
        physical: Name of the index, to read its ingest pipelines.
        sends_ids: Whether documents carry their ids.
    """

    connection: Connection
    physical: str
    sends_ids: bool
    _sent_again: list[int] = field(default_factory=list, init=False)

    @property
    def uncertain(self) -> int:
        """Return the number of documents sent again without an id, after a lost response."""
        return sum(self._sent_again)

    def id_of(self, document: RowDocument) -> str:
        """Return the id, or the name of the row."""
        return document.key

    def encode(self, document: RowDocument) -> BulkItem | Rejected:
        """Return the lines of a document, or why no request can carry it."""
        if not document.has_id:
            return Rejected(document.key, "rejected", "its id is null", retryable=False)
        try:
            source = orjson.dumps(document.body, option=_JSON_LINE)
            action = _NO_ID
            if self.sends_ids:
                action = b'{"index":{"_id":' + orjson.dumps(document.key) + b"}}\n"
        except orjson.JSONEncodeError as error:
            message = f"it cannot be written as JSON: {error}"
            return Rejected(document.key, "rejected", message, retryable=False)
        return BulkItem(document.key, (), action + source)

    def build_body(self, items: Sequence[BulkItem], request_id: str) -> bytes:
        """Return the NDJSON body of a request."""
        return b"".join(item.lines for item in items)

    def matches(self, item: BulkItem, result: Mapping[str, Any]) -> bool:
        """Return whether a result may belong to an item."""
        return not self.sends_ids or bool(result.get("_id") == item.doc_id)

    def find_written(
        self, request_id: str, ids: Collection[str], reason: str, budget: RetryBudget
    ) -> set[str]:
        """Return an empty set: documents with unknown outcome are sent again."""
        if not self.sends_ids:
            self._sent_again.append(len(ids))  # several writers share this strategy
        return set()

    def read_indexed(self, ids: Collection[str]) -> Mapping[str, IndexedDocument | None]:
        """Return no document: a write without a version meets no other version for long."""
        return {}

    def with_version(self, item: BulkItem, version: int) -> BulkItem:
        """Return the item unchanged: it has no version."""
        return item

    def find_pipelines(self) -> Sequence[str]:
        """Return the names of the ingest pipelines of the index.

        Raises:
            opensearchpy.exceptions.OpenSearchException: The request failed; it is not retried.
        """
        return find_pipelines(self.connection, self.physical)
