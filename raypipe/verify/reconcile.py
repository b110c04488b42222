"""Compare the listing, the ledger and the index, book by book."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field

from raypipe.core import exit_codes
from raypipe.core.book import Book


@dataclass
class Reconciliation:
    """Each book of the listing, the ledger and the index, in exactly one of these lists.

    Listed books are given by key, all others by id. The names are keys of `output=json`.

    Attributes:
        good: The listing, the ledger and the index agree.
        missing: In the ledger, but not in the index.
        differing: The index has another version than the ledger.
        unledgered: In the index, but not in the ledger.
        failed: Neither in the ledger nor in the index; the last attempt failed.
        pending: New or changed; the next run processes them.
        removed: In the index, but no longer listed.
    """

    good: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    differing: list[str] = field(default_factory=list)
    unledgered: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    pending: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """Return 1 if ledger and index disagree, 3 for failures, 4 for pending books, else 0."""
        if self.missing or self.differing or self.unledgered:
            return exit_codes.ERROR
        if self.failed:
            return exit_codes.FAILED_BOOKS
        return exit_codes.STOPPED if self.pending else exit_codes.OK


def reconcile(
    listing: Iterable[Book],
    ledger: Mapping[str, str],
    indexed: Mapping[str, str],
    failures: Container[str],
) -> Reconciliation:
    """Compare the listing, the ledger and the index, book by book.

    Args:
        listing: The books at the source.
        ledger: ETag of each book that was acknowledged by the index's generation, by book id.
        indexed: ETag of each document in the index, by book id.
        failures: Ids of the books whose last attempt failed.
    """
    result, listed = Reconciliation(), set()
    for book in listing:
        listed.add(book.book_id)
        ledger_etag, indexed_etag = ledger.get(book.book_id), indexed.get(book.book_id)
        if ledger_etag is not None and indexed_etag is None:
            result.missing.append(book.key)
        elif ledger_etag is not None and ledger_etag != indexed_etag:
            result.differing.append(book.key)
        elif ledger_etag is None and indexed_etag is not None:
            result.unledgered.append(book.key)
        elif ledger_etag == book.etag:
            result.good.append(book.key)
        elif book.book_id in failures:
            result.failed.append(book.key)
        else:
            result.pending.append(book.key)
    result.removed.extend(sorted(set(indexed) - listed))
    result.missing.extend(sorted(set(ledger) - set(indexed) - listed))
    return result
