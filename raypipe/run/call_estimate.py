"""Estimate the model calls of a run from a sample of the books to read."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass

from raypipe.core.book import Book
from raypipe.core.errors import BookError
from raypipe.sources import BookSource
from raypipe.summarizers.protocol import CallEstimator, EstimatedCall
from raypipe.text import CleanText, TextCleaner

_READER_THREADS = 8
_COUNTED_BOOKS = 6
"""Sampled books whose tokens the server counts, where it does so free of charge."""
_COUNTED_CHARS = 20_000


@dataclass(frozen=True)
class CallTotals:
    """Estimated calls and tokens of all books to read.

    Args:
        sampled: Number of books that were read for the estimate.
        unfit: Number of these that would fail.
        calls: Number of model calls.
        input_tokens: Tokens of the requests.
        output_tokens: Tokens of the answers.
    """

    sampled: int = 0
    unfit: int = 0
    calls: float = 0.0
    input_tokens: float = 0.0
    output_tokens: float = 0.0


def estimate_calls(
    books: Sequence[Book],
    source: BookSource,
    cleaner: TextCleaner,
    estimator: CallEstimator,
    sample: int,
) -> CallTotals:
    """Estimate the model calls of books.

    Args:
        books: The books.
        source: Where they are read.
        cleaner: Turns their bytes into text.
        estimator: Plans the calls of a text.
        sample: Maximum number of books to read.
    """
    groups = list(_size_groups(books, sample))
    texts = _read_texts([book for book, _ in groups], source, cleaner)
    return _extrapolate(estimator, groups, texts)


def _size_groups(books: Sequence[Book], sample: int) -> Iterator[tuple[Book, int]]:
    """Yield one book of each of `sample` groups of similar size, and the bytes of its group."""
    by_size = sorted(books, key=lambda book: (book.size, book.book_id))
    groups = min(sample, len(by_size))
    for number in range(groups):
        group = by_size[number * len(by_size) // groups : (number + 1) * len(by_size) // groups]
        yield group[len(group) // 2], sum(book.size for book in group)


def _read_texts(
    books: Sequence[Book], source: BookSource, cleaner: TextCleaner
) -> list[CleanText | None]:
    """Return the clean text of each book; None for a book that would fail."""
    one_large_file = threading.Lock()  # with images, files of many threads would fill the memory

    def read(book: Book) -> CleanText | None:
        if book.size > cleaner.max_object_bytes(book.key):
            return None
        with one_large_file if book.size > cleaner.max_bytes else nullcontext():
            try:
                return cleaner.clean(source.read(book), book.key)
            except BookError:
                return None

    with ThreadPoolExecutor(_READER_THREADS) as pool:
        return list(pool.map(read, books))


def _extrapolate(
    estimator: CallEstimator,
    groups: Sequence[tuple[Book, int]],
    texts: Sequence[CleanText | None],
) -> CallTotals:
    """Return the calls of all books: those of each sampled book, weighted by its group's bytes."""
    correction = _token_correction(estimator, [text for text in texts if text is not None])
    calls = input_tokens = output_tokens = 0.0
    for (book, group_bytes), text in zip(groups, texts, strict=True):
        estimated = [] if text is None else _estimate_calls(estimator, text)
        weight = group_bytes / max(book.size, 1)
        calls += weight * len(estimated)
        input_tokens += weight * sum(call.input_tokens for call in estimated) * correction
        output_tokens += weight * sum(call.output_tokens for call in estimated)
    unfit = sum(text is None for text in texts)
    return CallTotals(len(texts), unfit, calls, input_tokens, output_tokens)


def _estimate_calls(estimator: CallEstimator, text: CleanText) -> Sequence[EstimatedCall]:
    try:
        return estimator.plan_calls(text)
    except BookError:
        return []


def _token_correction(estimator: CallEstimator, texts: Sequence[CleanText]) -> float:
    """Return the server's token count divided by the estimator's, over a few texts."""
    counted = estimated = 0.0
    for text in texts[:: max(1, len(texts) // _COUNTED_BOOKS)][:_COUNTED_BOOKS]:
        middle = len(text.text) // 2
        piece = text.text[middle : middle + _COUNTED_CHARS]
        tokens = estimator.count_tokens(piece)
        if tokens is None:
            return 1.0
        counted += tokens
        estimated += len(piece.encode()) / estimator.bytes_per_token
    return counted / estimated if estimated else 1.0
