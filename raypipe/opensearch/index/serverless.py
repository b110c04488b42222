"""The backend for Serverless collections: server ids, no refresh, no index settings."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from raypipe.core.book import Document
from raypipe.core.errors import SetupError
from raypipe.core.options import IndexOptions
from raypipe.opensearch.bulk.lost_responses import VISIBILITY_POLL_S
from raypipe.opensearch.bulk.strategy import WriteStrategy
from raypipe.opensearch.bulk.target import BulkTarget
from raypipe.opensearch.connection.capabilities import SERVERLESS, Server
from raypipe.opensearch.index.config import IndexConfig
from raypipe.opensearch.index.copies import NEWEST_FIRST, iter_copies, iter_copies_of, read_newest
from raypipe.opensearch.index.deletes import DeleteAction, delete_documents
from raypipe.opensearch.index.mapping import KEYWORD, WRITE_ID
from raypipe.opensearch.index.pagination import count_documents
from raypipe.opensearch.index.ref import IndexRef
from raypipe.opensearch.index.server_ids import ServerIds

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ServerlessBackend:
    """A Serverless collection for vectors; implements `Backend`.

    Args:
        config: Connection and settings of the index.
    """

    config: IndexConfig

    def check_server(self) -> Server:
        """Return the description of a collection, which does not answer `GET /`."""
        return SERVERLESS

    def check_options(self, options: IndexOptions) -> None:
        """Raise `SetupError` for options that a collection does not support."""
        if options.force_merge is not None:
            raise SetupError(
                "index.force_merge: OpenSearch Serverless merges by itself; remove the option"
            )

    def index_settings(self) -> dict[str, Any]:
        """Return no settings: a collection chooses shards and replicas itself."""
        return {}

    def extra_fields(self) -> dict[str, Any]:
        """Return the field with the id of the request that wrote a document."""
        return {WRITE_ID: KEYWORD}

    def load_settings(self) -> dict[str, Any]:
        """Return no settings: a collection refuses to change them."""
        return {}

    def write_strategy(
        self, target: BulkTarget, ref: IndexRef, run_seq: int
    ) -> WriteStrategy[Document]:
        """Return the strategy that writes documents under the server's ids."""
        return ServerIds(target, ref, run_seq, self.config.visible_s)

    def scan_sort(self) -> list[dict[str, str]]:
        """Return the sort order of a scan: by book, its newest document first."""
        return NEWEST_FIRST

    def search_body(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return a search that finds a book once, though it may have older documents."""
        return {**body, "collapse": {"field": "book_id"}}

    def read(
        self, ref: IndexRef, book_ids: Collection[str], fields: Collection[str]
    ) -> dict[str, dict[str, Any] | None]:
        """Return fields of each book's newest document that a search finds, None where missing.

        Raises:
            SetupError: The server cannot be used.
        """
        return read_newest(self.config.connection, ref.physical, book_ids, fields)

    def refresh(self, ref: IndexRef) -> None:
        """Do nothing: a collection makes writes visible by itself, later."""

    def visibility_polls(self) -> Iterator[bool]:
        """Yield False every `VISIBILITY_POLL_S`, and True at the end of `visible_s`."""
        end = time.monotonic() + self.config.visible_s
        while time.monotonic() < end:
            yield False
            time.sleep(max(0.0, min(VISIBILITY_POLL_S, end - time.monotonic())))
        yield True

    def wait_until_created(self, is_created: Callable[[], bool]) -> None:
        """Wait until a new index exists: Serverless answers before it does.

        It takes some 15 s, as users of Flink's sink measured (apache/flink-agents pull request
        678).
        """
        for _ in self.visibility_polls():
            if is_created():
                return

    def delete_actions(
        self, ref: IndexRef, book_ids: Sequence[str], run_seq: int
    ) -> list[DeleteAction]:
        """Return the actions that delete all documents of books but those of newer runs."""
        copies = iter_copies_of(self.config.connection, ref.physical, book_ids)
        return [{"_id": copy.server_id} for copy in copies if copy.run_seq <= run_seq]

    def finalize(
        self, ref: IndexRef, book_ids: Collection[str], run_seq: int, *, stopped: bool
    ) -> None:
        """Wait until the run's documents are visible, then delete older ones of the same books.

        Older documents are deleted even after a run that wrote nothing: the run before may have
        been killed before it deleted them. A stopped run waits for nothing.
        """
        if not stopped:
            self._wait_until_visible(ref, book_ids, run_seq)
            self.delete_older_copies(ref)

    def delete_older_copies(self, ref: IndexRef) -> int:
        """Delete all but the newest document of each book; return the number of deletions.

        Raises:
            SetupError: The server refuses, or does not delete within `retry_budget_s`.
        """
        copies = iter_copies(self.config.connection, ref.physical)
        older = [
            {"_id": copy.server_id}
            for newer, copy in pairwise(copies)
            if copy.book_id == newer.book_id
        ]
        delete_documents(self.config, ref, older)
        if older:
            message = "Deleted %s older or duplicate documents of %s"
            log.info(message, f"{len(older):,}", ref.physical)
        return len(older)

    def _wait_until_visible(self, ref: IndexRef, book_ids: Collection[str], run_seq: int) -> None:
        """Wait until a search finds a run's documents; warn about those that it does not find."""
        wanted, query = set(book_ids), {"term": {"run_seq": run_seq}}
        if not wanted:
            return
        missing = wanted
        connection, physical = self.config.connection, ref.physical
        for is_last in self.visibility_polls():
            if is_last or count_documents(connection, physical, query) >= len(wanted):
                visible = {copy.book_id for copy in iter_copies(connection, physical, query)}
                missing = wanted - visible
            if not missing:
                return
        log.warning(
            "%s does not show %s books yet that were written %g s ago (opensearch.visible_s); "
            "`raypipe verify` checks whether it does",
            physical,
            f"{len(missing):,}",
            self.config.visible_s,
        )
