"""Listing, ledger and index held against each other, book by book."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field

from raypipe.core.book import Book


@dataclass
class Reconciliation:
    """Every book that any of the three knows, in exactly one of these lists (by key or id)."""

    good: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)  # processed, but not in the index
    differing: list[str] = field(default_factory=list)  # the index holds another version
    unledgered: list[str] = field(default_factory=list)  # in the index, but not in the ledger
    failed: list[str] = field(default_factory=list)  # not in the index, and the failures say why
    pending: list[str] = field(default_factory=list)  # new or changed: the next run takes it
    removed: list[str] = field(default_factory=list)  # in the index, no longer listed

    @property
    def exit_code(self) -> int:
        """Return 1 if ledger and index disagree, 3 for failures, 4 for pending books, else 0."""
        if self.missing or self.differing or self.unledgered:
            return 1
        return 3 if self.failed else 4 if self.pending else 0


def reconcile(
    listing: Iterable[Book],
    ledger: Mapping[str, str],
    indexed: Mapping[str, str],
    failures: Container[str],
) -> Reconciliation:
    """Hold the three against each other.

    Args:
        listing: The books at the source.
        ledger: ETag of each book that the index's generation acknowledged, by id.
        indexed: ETag of each document in the index, by id.
        failures: Ids whose last attempt failed.
    """
    result, listed = Reconciliation(), set()
    for book in listing:
        listed.add(book.book_id)
        name = book.key
        promised, held = ledger.get(book.book_id), indexed.get(book.book_id)
        if promised is not None and held is None:
            result.missing.append(name)
        elif promised is not None and promised != held:
            result.differing.append(name)
        elif promised is None and held is not None:
            result.unledgered.append(name)
        elif promised == book.etag:
            result.good.append(name)
        elif book.book_id in failures:
            result.failed.append(name)
        else:
            result.pending.append(name)
    result.removed.extend(sorted(set(indexed) - listed))
    result.missing.extend(sorted(set(ledger) - set(indexed) - listed))
    return result
