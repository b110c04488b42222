"""The next request is made ready while one is on its way, and no sooner."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from raypipe.core.book import Document
from raypipe.opensearch.bulk.item import Item
from raypipe.opensearch.bulk.prefetch import EncodePrefetcher
from tests.unit.opensearch.parts import documents


def encode(one: Document) -> Item:
    return Item(one.book_id, ("", ""), b"x" * 10)


def left(ahead: EncodePrefetcher) -> list[str]:
    return [getattr(one, "book_id", "") for one in iter(ahead.next, None)]


def test_order_is_kept_whether_or_not_it_is_made_ready() -> None:
    ahead = EncodePrefetcher(documents(10), encode, docs=4, size=1000)
    first = ahead.next()
    ahead.prepare()
    assert [getattr(first, "book_id", ""), *left(ahead)] == [f"b{i:04d}" for i in range(10)]
    ahead.close()


def test_it_is_done_in_another_thread_and_only_when_asked_for() -> None:
    threads = []

    def noting(one: Document) -> Item:
        threads.append(threading.current_thread())
        return encode(one)

    ahead = EncodePrefetcher(documents(10), noting, docs=4, size=1000)
    ahead.prepare()
    ahead.prepare()
    assert ahead.next() is not None
    assert len(threads) == 4
    assert threading.current_thread() not in threads
    ahead.close()
    assert not threads[0].is_alive()


def test_bytes_bound_it_too() -> None:
    made = []

    def noting(one: Document) -> Item:
        made.append(one)
        return encode(one)

    ahead = EncodePrefetcher(documents(10), noting, docs=100, size=25)
    ahead.prepare()
    ahead.next()
    assert len(made) == 3
    ahead.close()


def test_ids_of_what_is_left_and_trouble_of_the_source_is_raised() -> None:
    ahead = EncodePrefetcher(documents(6), encode, docs=2, size=1000)
    ahead.next()
    ahead.prepare()
    assert list(ahead.ids()) == [f"b{i:04d}" for i in range(1, 6)]
    ahead.close()

    def broken() -> Iterator[Document]:
        raise OSError("no more")
        yield

    ahead = EncodePrefetcher(broken(), encode, docs=2, size=1000)
    ahead.prepare()
    with pytest.raises(OSError, match="no more"):
        ahead.next()
    ahead.close()
