"""What differs between clusters and Serverless collections, behind one contract."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, Protocol

from raypipe.core.book import Document
from raypipe.core.options import IndexOptions
from raypipe.opensearch.bulk.strategy import WriteStrategy
from raypipe.opensearch.bulk.target import BulkTarget
from raypipe.opensearch.connection.capabilities import Server
from raypipe.opensearch.index.cluster import ClusterBackend
from raypipe.opensearch.index.config import IndexConfig
from raypipe.opensearch.index.deletes import DeleteAction
from raypipe.opensearch.index.ref import IndexRef
from raypipe.opensearch.index.serverless import ServerlessBackend


class Backend(Protocol):
    """The behavior of one kind of server; chosen once, by `backend_for`.

    The main difference is who makes the ids of documents: with client ids, versions and a refresh
    a write can be repeated and read back at once; without them a book may have several documents
    for a while, and searches find them late.
    """

    def check_server(self) -> Server:
        """Return the server's version and plugins.

        Raises:
            SetupError: The server is another product, too old, or lacks the k-NN plugin.
        """

    def check_options(self, options: IndexOptions) -> None:
        """Raise `SetupError` for an option that the server does not support."""

    def index_settings(self) -> dict[str, Any]:
        """Return the settings of a new index besides those of every index."""

    def extra_fields(self) -> dict[str, Any]:
        """Return the mapping of fields besides those of every index."""

    def load_settings(self) -> dict[str, Any]:
        """Return the settings that make a large load faster; empty to change none."""

    def write_strategy(
        self, target: BulkTarget, ref: IndexRef, run_seq: int
    ) -> WriteStrategy[Document]:
        """Return how a run writes documents to an index."""

    def scan_sort(self) -> list[dict[str, str]]:
        """Return the sort order of a scan: by book, its newest document first."""

    def search_body(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return a search that finds each book once."""

    def read(
        self, ref: IndexRef, book_ids: Collection[str], fields: Collection[str]
    ) -> dict[str, dict[str, Any] | None]:
        """Return fields of the books' documents, None for a missing document.

        Raises:
            opensearchpy.exceptions.OpenSearchException: The request failed; it is not retried.
            SetupError: The server cannot be used.
        """

    def refresh(self, ref: IndexRef) -> None:
        """Let searches find everything that was written, where the server can."""

    def visibility_polls(self) -> Iterator[bool]:
        """Yield whenever a search may find more than before; True for the last time."""

    def wait_until_created(self, is_created: Callable[[], bool]) -> None:
        """Wait until a new index exists."""

    def delete_actions(
        self, ref: IndexRef, book_ids: Sequence[str], run_seq: int
    ) -> list[DeleteAction]:
        """Return the actions that delete books' documents up to this run's version."""

    def finalize(
        self, ref: IndexRef, book_ids: Collection[str], run_seq: int, *, stopped: bool
    ) -> None:
        """Make a run's documents visible and delete the documents that they replace.

        Args:
            ref: The index.
            book_ids: Books that the run wrote.
            run_seq: Number of the run.
            stopped: Whether the run was asked to stop; it waits for nothing then.

        Raises:
            SetupError: The server cannot be used.
        """


def backend_for(config: IndexConfig) -> Backend:
    """Return the backend for the server of an index."""
    if config.connection.is_serverless:
        return ServerlessBackend(config)
    return ClusterBackend(config)
