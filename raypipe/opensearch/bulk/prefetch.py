"""The next request's documents, made ready while the one before is on its way."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from raypipe.core.book import Document
from raypipe.opensearch.bulk.item import Item
from raypipe.opensearch.bulk.results import Rejected

Encode = Callable[[Document], Item | Rejected]


class EncodePrefetcher:
    """Encoded documents in order, at most one request's worth before they are asked for.

    A server works for as long as a request takes, and this process only waits for it: so the next
    documents are encoded then, in a thread, which there is only from the second request on.

    Args:
        documents: What to encode.
        encode: Returns a document's lines, or why no request can carry it.
        docs: Most documents to make ready.
        size: Bytes of lines from which no more are made ready.
    """

    def __init__(self, documents: Iterable[Document], encode: Encode, docs: int, size: int) -> None:
        self._documents = iter(documents)
        self._encode = encode
        self._docs, self._size = docs, size
        self._ready: deque[Item | Rejected] = deque()
        self._coming: Future[list[Item | Rejected]] | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._over = False

    def next(self) -> Item | Rejected | None:
        """Return the next document, or None after the last."""
        if not self._ready and self._coming is not None:
            self._ready.extend(self._coming.result())
            self._coming = None
        if self._ready:
            return self._ready.popleft()
        document = self._document()
        return None if document is None else self._encode(document)

    def prepare(self) -> None:
        """Begin to make documents ready; returns at once."""
        if self._coming is None and not self._ready and not self._over:
            self._pool = self._pool or ThreadPoolExecutor(1, thread_name_prefix="raypipe-bulk")
            self._coming = self._pool.submit(self._some)

    def ids(self) -> Iterator[str]:
        """Yield the ids of all documents that are left, without encoding more."""
        if self._coming is not None:
            self._ready.extend(self._coming.result())
            self._coming = None
        yield from (one.book_id for one in self._ready)
        yield from (one.book_id for one in self._documents)

    def close(self) -> None:
        """End the thread."""
        if self._pool is not None:
            self._pool.shutdown()

    def _some(self) -> list[Item | Rejected]:
        made: list[Item | Rejected] = []
        size = 0
        while len(made) < self._docs and size < self._size:
            document = self._document()
            if document is None:
                break
            made.append(self._encode(document))
            size += len(getattr(made[-1], "lines", b""))
        return made

    def _document(self) -> Document | None:
        document = next(self._documents, None)
        self._over = document is None
        return document
