"""One physical index: read, write, delete, and prepare it for being served."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from raypipe.core.book import Document
from raypipe.core.errors import SetupError
from raypipe.core.stop import StopCheck, never_stopped
from raypipe.opensearch.bulk.limiter import Limiter
from raypipe.opensearch.bulk.parallel import ParallelBulkWriter
from raypipe.opensearch.bulk.strategy import WriteStrategy
from raypipe.opensearch.bulk.target import BulkTarget
from raypipe.opensearch.bulk.writer import BulkWriter
from raypipe.opensearch.connection.answers import parsing, read_long
from raypipe.opensearch.connection.client import Connection
from raypipe.opensearch.index import nearest
from raypipe.opensearch.index.admin import IndexAdmin
from raypipe.opensearch.index.backend import Backend, backend_for
from raypipe.opensearch.index.config import IndexConfig
from raypipe.opensearch.index.deletes import delete_documents
from raypipe.opensearch.index.load_settings import apply_load_settings, restore_settings
from raypipe.opensearch.index.pagination import (
    PAGE_SIZE,
    check_complete,
    count_documents,
    iter_hits,
)
from raypipe.opensearch.index.reads import VERSION_FIELDS, IndexedBook, to_indexed_book
from raypipe.opensearch.index.ref import IndexRef

_TASK_POLL_S = 1.0
_MAX_RUNS = 10_000
"""Runs that are counted apart (`search.max_buckets` allows 65,535)."""


@dataclass(frozen=True)
class Index:
    """One physical index; `IndexAlias` finds or creates it. Small, and picklable to workers.

    Args:
        config: Connection and settings.
        ref: Facts about the index.
    """

    config: IndexConfig
    ref: IndexRef

    @property
    def connection(self) -> Connection:
        """Return the connection to the server."""
        return self.config.connection

    @property
    def backend(self) -> Backend:
        """Return the behavior of this kind of server."""
        return backend_for(self.config)

    def bulk_target(self) -> BulkTarget:
        """Return the address and limits of bulk requests."""
        return BulkTarget(
            connection=self.connection,
            name=self.ref.target,
            label=self.ref.alias,
            physical=self.ref.physical,
            max_bytes=self.config.max_bytes,
            max_docs=self.config.max_docs,
            retry_budget_s=self.config.retry_budget_s,
        )

    def write_strategy(self, run_seq: int) -> WriteStrategy[Document]:
        """Return how a run writes documents.

        Args:
            run_seq: Number of the writing run, the version of all its documents.
        """
        return self.backend.write_strategy(self.bulk_target(), self.ref, run_seq)

    def bulk_writer(self, run_seq: int) -> BulkWriter[Document]:
        """Return a writer that sends one bulk request at a time."""
        return BulkWriter(self.bulk_target(), self.write_strategy(run_seq))

    def parallel_writer(
        self,
        run_seq: int,
        limiter_for: Callable[[int], Limiter],
        stop_check: StopCheck = never_stopped,
    ) -> ParallelBulkWriter[Document]:
        """Return a writer that sends several bulk requests at a time.

        Args:
            run_seq: Number of the writing run, the version of all its documents.
            limiter_for: Returns the limiter of a writer, by its number.
            stop_check: Returns the stop reason, or ''.
        """
        strategy = self.write_strategy(run_seq)
        return ParallelBulkWriter(self.bulk_target(), strategy, limiter_for, stop_check)

    def refresh(self) -> None:
        """Let searches find everything that was written, where the server can."""
        self.backend.refresh(self.ref)

    def count(self, query: Mapping[str, Any] | None = None) -> int:
        """Return the number of documents that a search finds; `refresh` first to count all.

        Raises:
            SetupError: A shard did not answer.
        """
        return count_documents(self.connection, self.ref.physical, query)

    def count_by_run(self) -> dict[int, int]:
        """Return the number of documents of each run that a search finds, by the run's number.

        Raises:
            SetupError: A shard did not answer.
        """
        body = {"size": 0, "aggs": {"runs": {"terms": {"field": "run_seq", "size": _MAX_RUNS}}}}
        response = self.connection.ask("POST", f"/{self.ref.physical}/_search", body=body)
        check_complete(self.connection, self.ref.physical, response)
        with parsing(self.connection, f"a search of {self.ref.physical}"):
            buckets = response["aggregations"]["runs"]["buckets"]
            return {int(bucket["key"]): read_long(bucket["doc_count"]) for bucket in buckets}

    def highest_run_seq(self) -> int:
        """Return the highest run number in the index, which is the highest version; 0 if empty.

        Raises:
            SetupError: A shard did not answer.
        """
        self.refresh()
        body = {"size": 0, "aggs": {"highest": {"max": {"field": "run_seq"}}}}
        path = f"/{self.ref.physical}/_search"
        response = self.connection.ask("POST", path, body=body)
        check_complete(self.connection, self.ref.physical, response)
        with parsing(self.connection, f"a search of {self.ref.physical}"):
            return read_long(int(response["aggregations"]["highest"]["value"] or 0))

    def hits(self, body: Mapping[str, Any], page_size: int = PAGE_SIZE) -> Iterator[dict[str, Any]]:
        """Yield every hit of a search in order; see `iter_hits`.

        Args:
            body: The search, with a `sort` in which no two hits are equal.
            page_size: Hits in one request.

        Raises:
            SetupError: A shard did not answer.
        """
        return iter_hits(self.connection, self.ref.physical, body, page_size)

    def scan(self, *, page_size: int = PAGE_SIZE) -> Iterator[IndexedBook]:
        """Yield every book's newest document in id order, in bounded memory; `refresh` first.

        Raises:
            SetupError: A shard did not answer; a part of the index is never taken for the whole.
        """
        body = {
            "_source": False,
            # From doc values: loading sources would read each text and rebuild each vector.
            "docvalue_fields": list(VERSION_FIELDS),
            "sort": self.backend.scan_sort(),
        }
        previous = None
        for hit in self.hits(body, page_size):
            with parsing(self.connection, f"a search of {self.ref.physical}"):
                book = to_indexed_book(hit)
            if book.book_id != previous:
                yield book
            previous = book.book_id

    def mget(
        self, book_ids: Collection[str], fields: Collection[str] = VERSION_FIELDS
    ) -> dict[str, dict[str, Any] | None]:
        """Return fields of the books' documents, None for a missing document.

        Sees writes before a refresh, except on servers without client ids.

        Raises:
            SetupError: The server cannot be used.
        """
        return self.backend.read(self.ref, book_ids, fields)

    def read_makers(self) -> tuple[str, str]:
        """Return the names of the summarizer and the embedder of the newest document.

        Returns:
            Two empty texts if the index has no document of raypipe.

        Raises:
            SetupError: The server cannot be used.
        """
        fields = ("summarizer", "embedder")
        body = {
            "size": 1,
            "_source": list(fields),
            "query": {"exists": {"field": "summarizer"}},
            "sort": [{"run_seq": {"order": "desc", "unmapped_type": "long"}}],
        }
        response = self.connection.ask("POST", f"/{self.ref.physical}/_search", body=body)
        with parsing(self.connection, f"a search of {self.ref.physical}"):
            hits = response["hits"]["hits"]
            source = hits[0]["_source"] if hits else {}
            summarizer, embedder = (str(source.get(name) or "") for name in fields)
            return summarizer, embedder

    def is_nearest(self, book_id: str, vector: object, tolerance: float) -> bool:
        """Return whether a document is the nearest to its own vector, or as near as the nearest."""
        return nearest.is_nearest(self.connection, self.ref.physical, book_id, vector, tolerance)

    def visibility_polls(self) -> Iterator[bool]:
        """Yield whenever a search may find more than before; True for the last time."""
        return self.backend.visibility_polls()

    def delete_books(self, book_ids: Sequence[str], run_seq: int) -> None:
        """Delete books; a missing book is no error.

        Args:
            book_ids: Ids of the books.
            run_seq: Version of the deletion (`external_gte`).

        Raises:
            SetupError: The server refuses, does not delete within `retry_budget_s`, or has
                documents of a newer run, which stay.
        """
        if not book_ids:
            return
        # A run opens the index that it writes; this may be another index, of an older raypipe.
        IndexAdmin(self.config).ensure_write_alias(self.ref.physical)
        actions = self.backend.delete_actions(self.ref, book_ids, run_seq)
        delete_documents(self.config, self.ref, actions)

    def finalize(self, book_ids: Collection[str], run_seq: int, *, stopped: bool = False) -> None:
        """Make a run's documents visible and delete the documents that they replace.

        Args:
            book_ids: Books that the run wrote.
            run_seq: Number of the run.
            stopped: Whether the run was asked to stop; it waits for nothing then.

        Raises:
            SetupError: The server cannot be used.
        """
        self.backend.finalize(self.ref, book_ids, run_seq, stopped=stopped)

    def apply_load_settings(self) -> None:
        """Disable replicas and refresh during a load, where the server allows it."""
        settings = self.backend.load_settings()
        if settings:
            apply_load_settings(IndexAdmin(self.config), self.ref.physical, settings)

    def restore_settings(self) -> None:
        """Restore the settings from before a load, if there was one."""
        admin = IndexAdmin(self.config)
        restore_settings(admin, admin.describe_physical(self.ref.physical))

    def force_merge(self, max_segments: int, timeout_s: float) -> None:
        """Merge each shard to this many segments, and wait for it.

        Raises:
            SetupError: The merge takes longer than `timeout_s`.
        """
        params = {"max_num_segments": max_segments, "wait_for_completion": "false"}
        response = self.connection.ask("POST", f"/{self.ref.physical}/_forcemerge", params=params)
        with parsing(self.connection, f"POST /{self.ref.physical}/_forcemerge"):
            path = f"/_tasks/{response['task']}"
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            task = self.connection.ask("GET", path)
            with parsing(self.connection, f"GET {path}"):
                if task.get("completed"):
                    return
            time.sleep(_TASK_POLL_S)
        raise SetupError(
            f"{self.config.label}: the merge takes longer than {timeout_s:g} s; run "
            "`raypipe promote` later"
        )
