"""The backend for clusters: client ids, versions, refresh and index settings."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from raypipe.core.book import Document
from raypipe.core.options import IndexOptions
from raypipe.opensearch.bulk.strategy import WriteStrategy
from raypipe.opensearch.bulk.target import BulkTarget
from raypipe.opensearch.connection.capabilities import Server, check_server
from raypipe.opensearch.index.client_ids import ClientIds, versioned_id
from raypipe.opensearch.index.config import IndexConfig
from raypipe.opensearch.index.deletes import DeleteAction
from raypipe.opensearch.index.reads import multi_get
from raypipe.opensearch.index.ref import IndexRef


@dataclass(frozen=True)
class ClusterBackend:
    """A cluster or an Amazon domain; implements `Backend`.

    Args:
        config: Connection and settings of the index.
    """

    config: IndexConfig

    def check_server(self) -> Server:
        """Return the server's version and plugins; raise `SetupError` if it does not fit."""
        return check_server(self.config.connection)

    def check_options(self, options: IndexOptions) -> None:
        """Accept all options."""

    def index_settings(self) -> dict[str, Any]:
        """Return the numbers of shards and replicas."""
        return {
            "number_of_shards": self.config.shards,
            "number_of_replicas": self.config.replicas,
        }

    def extra_fields(self) -> dict[str, Any]:
        """Return no further fields."""
        return {}

    def load_settings(self) -> dict[str, Any]:
        """Return settings without replicas and refresh.

        Each replica would build each vector's graph again, and each refresh would write a segment.
        """
        return {"number_of_replicas": 0, "refresh_interval": "-1"}

    def write_strategy(
        self, target: BulkTarget, ref: IndexRef, run_seq: int
    ) -> WriteStrategy[Document]:
        """Return the strategy that writes documents under the client's ids."""
        return ClientIds(target.connection, ref, run_seq)

    def scan_sort(self) -> list[dict[str, str]]:
        """Return the sort order of a scan: by book."""
        return [{"book_id": "asc"}]

    def search_body(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return a search unchanged: a book has one document."""
        return body

    def read(
        self, ref: IndexRef, book_ids: Collection[str], fields: Collection[str]
    ) -> dict[str, dict[str, Any] | None]:
        """Return fields of the documents as last written, None where missing.

        Raises:
            SetupError: The server cannot be used.
        """
        return multi_get(self.config.connection, ref.physical, book_ids, fields)

    def refresh(self, ref: IndexRef) -> None:
        """Let searches find everything that was written."""
        self.config.connection.ask("POST", f"/{ref.physical}/_refresh")

    def visibility_polls(self) -> Iterator[bool]:
        """Yield True once: a refresh has made all writes visible."""
        yield True

    def wait_until_created(self, is_created: Callable[[], bool]) -> None:
        """Return at once: the index exists when the request that creates it is answered."""

    def delete_actions(
        self, ref: IndexRef, book_ids: Sequence[str], run_seq: int
    ) -> list[DeleteAction]:
        """Return the actions that delete books, unless a newer run has written them."""
        return [versioned_id(book_id, run_seq) for book_id in book_ids]

    def finalize(
        self, ref: IndexRef, book_ids: Collection[str], run_seq: int, *, stopped: bool
    ) -> None:
        """Refresh the index if the run has written books."""
        if book_ids:
            self.refresh(ref)
