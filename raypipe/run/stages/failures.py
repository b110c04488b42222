"""Turn unexpected exceptions into the failure of one book."""

from __future__ import annotations

import logging

from raypipe.core.book import Book
from raypipe.core.errors import BookError
from raypipe.core.printable import escape_line

log = logging.getLogger(__name__)


def unexpected_failure(book: Book, error: Exception) -> BookError:
    """Return a retryable failure for a bug or an error that no one foresaw; log its traceback."""
    name = type(error).__name__
    log.warning("%s: unexpected %s", escape_line(book.key), name, exc_info=error)
    return BookError("unexpected", f"{book.key}: {name}", retryable=True)
