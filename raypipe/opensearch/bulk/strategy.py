"""The contract between the bulk writer and a kind of document and server."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from raypipe.opensearch.bulk.item import BulkItem, ContentKey
from raypipe.opensearch.bulk.results import Rejected
from raypipe.opensearch.bulk.retry_budget import RetryBudget

D = TypeVar("D")
D_contra = TypeVar("D_contra", contravariant=True)


@dataclass(frozen=True, slots=True)
class IndexedDocument:
    """A document in the index that has the id of a refused one.

    Args:
        content_key: Identifies its content.
        is_newer: Whether a newer run than this one has written it.
        version: Its version on the server.
    """

    content_key: ContentKey
    is_newer: bool
    version: int


class WriteStrategy(Protocol[D_contra]):
    """Encode documents for one index and find out which writes it has.

    Servers differ in the second part: with client ids a write can be repeated, with server ids a
    repeated write would duplicate the document.
    """

    def id_of(self, document: D_contra) -> str:
        """Return the client's id of a document."""

    def encode(self, document: D_contra) -> BulkItem | Rejected:
        """Return the lines of a document, or why no request can carry it."""

    def build_body(self, items: Sequence[BulkItem], request_id: str) -> bytes:
        """Return the NDJSON body of a request.

        Args:
            items: Encoded documents.
            request_id: 32 hex digits, different for each request.
        """

    def matches(self, item: BulkItem, result: Mapping[str, Any]) -> bool:
        """Return whether a result of the response may belong to an item."""

    def find_written(
        self, request_id: str, ids: Collection[str], reason: str, budget: RetryBudget
    ) -> set[str]:
        """Return which documents of a request with unknown outcome need no second write.

        Args:
            request_id: The request, see `build_body`.
            ids: Documents with unknown outcome.
            reason: Why the outcome is unknown, for the log.
            budget: Bounds the time of the search.

        Raises:
            SinkError: The index is deleted, or refuses these credentials.
        """

    def read_indexed(self, ids: Collection[str]) -> Mapping[str, IndexedDocument | None]:
        """Return the documents with these ids; None for a missing document.

        Raises:
            opensearchpy.exceptions.OpenSearchException: The request failed; it is not retried.
        """

    def with_version(self, item: BulkItem, version: int) -> BulkItem:
        """Return an item that is written with at least this version."""

    def find_pipelines(self) -> Sequence[str]:
        """Return the names of the ingest pipelines that the server applies to each document.

        Raises:
            opensearchpy.exceptions.OpenSearchException: The request failed; it is not retried.
        """
