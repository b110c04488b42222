"""Encode the documents of the next request while the current request is in flight."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

from raypipe.opensearch.bulk.item import BulkItem
from raypipe.opensearch.bulk.results import Rejected

D = TypeVar("D")


class EncodePrefetcher(Generic[D]):
    """Encode documents in order, at most one request's worth ahead of the writer.

    This process only waits while a request is in flight, so the next documents are encoded then,
    in a thread. The thread is started with the second request.

    Args:
        documents: Documents to encode.
        encode: Returns a document's lines, or why no request can carry it.
        id_of: Returns a document's id.
        max_docs: Most documents to encode ahead.
        max_bytes: Bytes of lines from which no more documents are encoded ahead.
    """

    def __init__(
        self,
        documents: Iterable[D],
        *,
        encode: Callable[[D], BulkItem | Rejected],
        id_of: Callable[[D], str],
        max_docs: int,
        max_bytes: int,
    ) -> None:
        self._documents = iter(documents)
        self._encode, self._id_of = encode, id_of
        self._max_docs, self._max_bytes = max_docs, max_bytes
        self._ready: deque[BulkItem | Rejected] = deque()
        self._pending: Future[list[BulkItem | Rejected]] | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._is_exhausted = False

    def next(self) -> BulkItem | Rejected | None:
        """Return the next document, or None after the last."""
        if not self._ready:
            self._collect()
        if self._ready:
            return self._ready.popleft()
        document = self._read()
        return None if document is None else self._encode(document)

    def prepare(self) -> None:
        """Start to encode the next documents; return at once."""
        if self._pending is None and not self._ready and not self._is_exhausted:
            self._pool = self._pool or ThreadPoolExecutor(1, thread_name_prefix="raypipe-bulk")
            self._pending = self._pool.submit(self._encode_ahead)

    def remaining_ids(self) -> Iterator[str]:
        """Yield the ids of all remaining documents without encoding more."""
        self._collect()
        yield from (item.doc_id for item in self._ready)
        yield from (self._id_of(document) for document in self._documents)

    def close(self) -> None:
        """Stop the thread."""
        if self._pool is not None:
            self._pool.shutdown()

    def _collect(self) -> None:
        if self._pending is not None:
            self._ready.extend(self._pending.result())
            self._pending = None

    def _encode_ahead(self) -> list[BulkItem | Rejected]:
        encoded: list[BulkItem | Rejected] = []
        size = 0
        while len(encoded) < self._max_docs and size < self._max_bytes:
            document = self._read()
            if document is None:
                break
            item = self._encode(document)
            encoded.append(item)
            size += len(item.lines) if isinstance(item, BulkItem) else 0
        return encoded

    def _read(self) -> D | None:
        document = next(self._documents, None)
        self._is_exhausted = document is None
        return document
