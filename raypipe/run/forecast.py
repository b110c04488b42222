"""Estimate the model calls of a run from the sizes of its books, without reading them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from raypipe.coordination.forecast import Forecast
from raypipe.core.book import Book
from raypipe.core.book_table import BookTable
from raypipe.core.errors import BookError
from raypipe.run.work import Work
from raypipe.summarizers.protocol import CallEstimator
from raypipe.text import CleanText

log = logging.getLogger(__name__)

_GROUPS = 12
"""Groups of books of similar size; a text of each group's size is planned."""
_PARAGRAPH = "The keeper of the light walked slowly down to the shore. " * 8 + "\n\n"


def start_forecast(work: Work) -> Forecast:
    """Return the forecast of a run; a thread estimates its model calls meanwhile."""
    forecast = Forecast(len(work.books), int(sizes_of(work.books).sum()))
    summarizer, embedder = work.processing.summarizer, work.processing.embedder
    estimator, embeds = summarizer.call_estimator, embedder.paid_model is not None
    if estimator is None and not embeds:
        return forecast

    def estimate() -> None:
        try:
            sizes = sizes_of(_to_read(work.books))
            calls = estimate_calls_of_sizes(sizes, estimator) if estimator is not None else 0.0
            forecast.estimated_calls = calls + (len(sizes) if embeds else 0)
        except Exception as error:  # the books do not need the forecast
            log.debug("the model calls cannot be estimated: %s", error)

    threading.Thread(target=estimate, name="raypipe-forecast", daemon=True).start()
    return forecast


def estimate_calls_of_sizes(sizes: NDArray[np.int64], estimator: CallEstimator) -> float:
    """Return about how many model calls books take.

    Args:
        sizes: Bytes of each book, shape (books,).
        estimator: Plans the calls of a text.
    """
    groups = np.array_split(np.sort(sizes), min(_GROUPS, len(sizes))) if len(sizes) else []
    return float(sum(len(group) * _calls_of(float(group.mean()), estimator) for group in groups))


def _calls_of(size: float, estimator: CallEstimator) -> int:
    text = (_PARAGRAPH * (int(size) // len(_PARAGRAPH) + 1))[: max(int(size), 1)]
    book = CleanText(text, "Title", "", "en", "utf-8", len(text.split()), (), "0" * 64)
    try:
        return len(estimator.plan_calls(book))
    except BookError:
        return 0


def _to_read(books: Sequence[Book]) -> Sequence[Book]:
    """Return the books without a finished document."""
    if isinstance(books, BookTable):
        if "part" not in books.table.column_names:
            return books
        import pyarrow.compute as pc

        return books.filter(pc.equal(pc.fill_null(books.table["part"], ""), ""))
    return [book for book in books if not book.part]


def sizes_of(books: Sequence[Book]) -> NDArray[np.int64]:
    """Return the bytes of each book, shape (books,)."""
    if isinstance(books, BookTable):
        return np.asarray(books.table["size"].to_numpy(), dtype=np.int64)
    return np.array([book.size for book in books], dtype=np.int64)
