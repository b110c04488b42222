"""Detect books deleted from the source; remove them from the index at the end of a run."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from raypipe.core.book import Book
from raypipe.core.errors import SetupError
from raypipe.ledger.checkpoint import Checkpoint, Processed
from raypipe.ledger.facade import Ledger
from raypipe.ledger.tombstones import Tombstones
from raypipe.opensearch.index import Index
from raypipe.sources import BookSource

log = logging.getLogger(__name__)

_KEYS_SHOWN = 3


@dataclass(frozen=True)
class DeletionLimit:
    """How many books may disappear from the source before a run asks.

    Args:
        max_fraction: Maximum share of the finished books to delete.
        allow_all: Delete any number of books.
    """

    max_fraction: float = 0.05
    allow_all: bool = False


@dataclass(frozen=True)
class DeletedBooks:
    """How a listing differs from the books that were finished before.

    Args:
        keys: Keys, by book id, of finished books that the listing should contain but does not.
        renamed: Number of these books whose ETag a new book has. Without reading the books, an
            equal ETag is the only sign of a rename.
        returned: Ids of books with a tombstone that are listed again.
        known: Number of finished books that the listing should contain.
    """

    keys: Mapping[str, str] = field(default_factory=dict)
    renamed: int = 0
    returned: Sequence[str] = ()
    known: int = 0

    @property
    def removed(self) -> int:
        """Return the number of books that are deleted and not renamed."""
        return len(self.keys) - self.renamed

    @property
    def removed_fraction(self) -> float:
        """Return the share of the known books that is removed."""
        return self.removed / max(self.known, 1)

    def exceeds(self, limit: DeletionLimit) -> bool:
        """Whether more books are removed than the limit allows."""
        return not limit.allow_all and self.removed_fraction > limit.max_fraction


def find_deleted(
    books: Sequence[Book], source: BookSource, ledger: Ledger, *, whole_source: bool = True
) -> DeletedBooks:
    """Compare a listing with the finished books that it should contain.

    Only keys that this listing would contain count: books of another bucket, behind another
    prefix or with another suffix are ignored.

    Args:
        books: The complete listing of the source.
        source: The source.
        ledger: The ledger.
        whole_source: False if the run processes chosen books only; nothing is deleted then.
    """
    if not whole_source:
        return DeletedBooks()
    tombstones = ledger.tombstones.active()
    new_etags = {book.book_id: book.etag for book in books}
    returned = [book_id for book_id in new_etags if book_id in tombstones]
    listed = set(new_etags)
    keys: dict[str, str] = {}
    deleted_etags: list[str] = []
    known = 0
    for row in ledger.documents.read_books_of_source(source.identity).to_pylist():
        book_id, key = row["book_id"], row["key"]
        new_etags.pop(book_id, None)
        if book_id in tombstones or not source.selects(key):
            continue
        known += 1
        if book_id not in listed:
            keys[book_id] = key
            deleted_etags.append(row["etag"])
    fresh = set(new_etags.values())
    renamed = sum(etag in fresh for etag in deleted_etags)
    return DeletedBooks(keys, renamed, returned, known)


def check_deletions(deleted: DeletedBooks, limit: DeletionLimit, selection: str) -> None:
    """Stop a run that would delete more books than its limit allows, before it begins.

    Args:
        deleted: What is deleted from the source.
        limit: The limit.
        selection: Which books the source lists, for the message.

    Raises:
        SetupError: More books are removed than the limit allows.
    """
    if not deleted.exceeds(limit):
        return
    keys = sorted(deleted.keys.values())
    raise SetupError(
        f"{deleted.removed:,} of {deleted.known:,} books are gone from {selection} "
        f"({deleted.removed_fraction:.1%}, more than max_delete_fraction={limit.max_fraction:g}): "
        f"{', '.join(keys[:_KEYS_SHOWN])}{' ...' if len(keys) > _KEYS_SHOWN else ''}. If they were "
        "removed on purpose, delete them with allow_deletes=true; otherwise check the source"
    )


def restore_returned(deleted: DeletedBooks, tombstones: Tombstones, run_seq: int) -> None:
    """Lift the tombstones of books that are listed again.

    Raises:
        SetupError: The state cannot be written.
    """
    if deleted.returned:
        log.info("%s removed books are at the source again", f"{len(deleted.returned):,}")
        tombstones.restore(deleted.returned, run_seq)


def apply_deletions(
    deleted: DeletedBooks, ledger: Ledger, indices: Sequence[Index], run_seq: int
) -> int:
    """Delete books from indices, then record it in the ledger and the tombstones.

    The order matters: after an interruption the next run finds the same books deleted.

    Args:
        deleted: What is deleted from the source.
        ledger: The ledger.
        indices: The indices to delete from.
        run_seq: Number of the run, the version of the deletion.

    Returns:
        The number of deleted books.

    Raises:
        SetupError: An index or the state cannot be written.
    """
    if not deleted.keys:
        return 0
    for index in indices:
        delete_from_index(index, deleted.keys, ledger.checkpoint, run_seq)
    ledger.tombstones.append(deleted.keys, run_seq)
    log.info(
        "%s books are gone from the source (%s of them renamed): their documents are deleted",
        f"{len(deleted.keys):,}",
        f"{deleted.renamed:,}",
    )
    return len(deleted.keys)


def delete_from_index(
    index: Index, book_ids: Collection[str], checkpoint: Checkpoint, run_seq: int
) -> None:
    """Delete the documents of books, then record that the index no longer holds them.

    Args:
        index: The index; books that it does not hold are ignored.
        book_ids: Ids of the books.
        checkpoint: Where the deletion is recorded.
        run_seq: Number of the run, the version of the deletion.

    Raises:
        SetupError: The index or the state cannot be written.
    """
    ids, now = sorted(book_ids), time.time()
    index.delete_books(ids, run_seq)
    physical, generation = index.ref.physical, index.ref.generation
    rows = [Processed(book_id, "", "", physical, generation, run_seq, now) for book_id in ids]
    checkpoint.append(rows, run_seq, "removed", 0)
