"""Compare the listing, the ledger and the index, book by book."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Set
from dataclasses import dataclass, field
from typing import NamedTuple

from raypipe.core import exit_codes
from raypipe.core.book import Book


class IndexedVersion(NamedTuple):
    """Version of a book, and the document recipe that its document was made with."""

    etag: str
    recipe: str = ""


@dataclass
class Reconciliation:
    """Each book of the listing, the ledger and the index, in exactly one of these lists.

    Listed books are given by key, all others by id. The names are keys of `output=json`.

    Attributes:
        good: The listing, the ledger and the index agree.
        missing: In the ledger, but not in the index.
        differing: The index has another version than the ledger, or a document of another recipe.
        unledgered: In the index, but not in the ledger.
        failed: Neither in the ledger nor in the index; the last attempt failed.
        pending: New or changed; the next run processes them.
        removed: In the index, but no longer listed.
        unseen: In the index, in a folder that could not be listed.
    """

    good: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    differing: list[str] = field(default_factory=list)
    unledgered: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    pending: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """Return 1 if ledger and index disagree, 3 for failures or unseen books, 4 for pending."""
        if self.missing or self.differing or self.unledgered:
            return exit_codes.ERROR
        if self.failed or self.unseen:
            return exit_codes.FAILED_BOOKS
        return exit_codes.STOPPED if self.pending else exit_codes.OK


def reconcile(
    listing: Iterable[Book],
    ledger: Mapping[str, IndexedVersion],
    indexed: Mapping[str, IndexedVersion],
    failures: Container[str],
    unseen: Set[str] = frozenset(),
) -> Reconciliation:
    """Compare the listing, the ledger and the index, book by book.

    Args:
        listing: The books at the source.
        ledger: Version of each book that was acknowledged by the index's generation, by book id.
        indexed: Version of each document in the index, by book id.
        failures: Ids of the books whose last attempt failed.
        unseen: Ids of the books in folders that could not be listed.
    """
    result, listed = Reconciliation(), set()
    for book in listing:
        listed.add(book.book_id)
        recorded, present = ledger.get(book.book_id), indexed.get(book.book_id)
        if recorded is not None and present is None:
            result.missing.append(book.key)
        elif recorded is not None and recorded != present:
            result.differing.append(book.key)
        elif recorded is None and present is not None:
            result.unledgered.append(book.key)
        elif recorded is not None and recorded.etag == book.etag:
            result.good.append(book.key)
        elif book.book_id in failures:
            result.failed.append(book.key)
        else:
            result.pending.append(book.key)
    absent = indexed.keys() - listed
    result.removed.extend(sorted(absent - unseen))
    result.unseen.extend(sorted(absent & unseen))
    result.missing.extend(sorted(set(ledger) - set(indexed) - listed))
    return result
