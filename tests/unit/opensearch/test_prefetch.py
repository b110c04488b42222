"""Documents of the next request are encoded while a request is in flight, not before."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator

import pytest

from raypipe.core.book import Document
from raypipe.opensearch.bulk.item import BulkItem
from raypipe.opensearch.bulk.prefetch import EncodePrefetcher
from tests.unit.opensearch.builders import documents


def encode(document: Document) -> BulkItem:
    return BulkItem(document.book_id, ("", ""), b"x" * 10)


def prefetch(
    source: Iterable[Document],
    encode: Callable[[Document], BulkItem] = encode,
    *,
    max_docs: int,
    max_bytes: int = 1000,
) -> EncodePrefetcher[Document]:
    return EncodePrefetcher(
        source,
        encode=encode,
        id_of=lambda document: document.book_id,
        max_docs=max_docs,
        max_bytes=max_bytes,
    )


def read_ids(ahead: EncodePrefetcher[Document]) -> list[str]:
    ids = []
    while (item := ahead.next()) is not None:
        ids.append(item.doc_id)
    return ids


def test_documents_stay_in_order() -> None:
    ahead = prefetch(documents(10), max_docs=4)
    first = ahead.next()
    assert first is not None
    ahead.prepare()
    assert [first.doc_id, *read_ids(ahead)] == [f"b{i:04d}" for i in range(10)]
    ahead.close()


def test_documents_are_encoded_ahead_in_a_thread_on_request() -> None:
    threads = []

    def encode_and_note(document: Document) -> BulkItem:
        threads.append(threading.current_thread())
        return encode(document)

    ahead = prefetch(documents(10), encode_and_note, max_docs=4)
    ahead.prepare()
    ahead.prepare()
    assert ahead.next() is not None
    assert len(threads) == 4
    assert threading.current_thread() not in threads
    ahead.close()
    assert not threads[0].is_alive()


def test_max_bytes_limits_the_documents_encoded_ahead() -> None:
    encoded = []

    def encode_and_note(document: Document) -> BulkItem:
        encoded.append(document)
        return encode(document)

    ahead = prefetch(documents(10), encode_and_note, max_docs=100, max_bytes=25)
    ahead.prepare()
    ahead.next()
    assert len(encoded) == 3
    ahead.close()


def test_remaining_ids_are_listed_and_errors_of_the_source_are_raised() -> None:
    ahead = prefetch(documents(6), max_docs=2)
    ahead.next()
    ahead.prepare()
    assert list(ahead.remaining_ids()) == [f"b{i:04d}" for i in range(1, 6)]
    ahead.close()

    def broken() -> Iterator[Document]:
        raise OSError("no more")
        yield

    ahead = prefetch(broken(), max_docs=2)
    ahead.prepare()
    with pytest.raises(OSError, match="no more"):
        ahead.next()
    ahead.close()
