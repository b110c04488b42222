"""Detect books deleted from the source; remove them from the index at the end of a run."""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from raypipe.core.book import Book
from raypipe.core.errors import SetupError
from raypipe.ledger.checkpoint import Checkpoint, Processed
from raypipe.ledger.facade import Ledger
from raypipe.ledger.tombstones import deletable_books
from raypipe.opensearch.index import Index
from raypipe.sources import BookSource
from raypipe.sources.listing import UnlistedFolder, select_below

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
        renames: Ids of listed books that seem to be books of `keys` under a new key, by the old
            id. Each listed book is the new name of one book at most.
        returned: Ids of books with a tombstone that are listed again.
        known: Number of finished books that the listing should contain.
        unseen: Ids of finished books in folders that could not be listed. They are kept.
    """

    keys: Mapping[str, str] = field(default_factory=dict)
    renames: Mapping[str, str] = field(default_factory=dict)
    returned: Sequence[str] = ()
    known: int = 0
    unseen: Set[str] = frozenset()

    @property
    def removed(self) -> int:
        """Return the number of books that are deleted and not renamed."""
        return len(self.keys) - len(self.renames)

    @property
    def removed_fraction(self) -> float:
        """Return the share of the known books that is removed."""
        return self.removed / max(self.known, 1)

    def exceeds(self, limit: DeletionLimit) -> bool:
        """Whether more books are removed than the limit allows."""
        return not limit.allow_all and self.removed_fraction > limit.max_fraction


@dataclass(frozen=True)
class Deletions:
    """What a run deleted.

    Args:
        deleted: Number of books deleted because their keys are gone from the source.
        waiting: Number of renamed books that keep the document under the old key, because the
            book is not indexed under the new key yet.
    """

    deleted: int = 0
    waiting: int = 0


def find_deleted(
    books: Sequence[Book],
    source: BookSource,
    ledger: Ledger,
    unknown: Iterable[Mapping[str, Any]] = (),
    *,
    whole_source: bool = True,
    unlisted: Sequence[UnlistedFolder] = (),
) -> DeletedBooks:
    """Compare a listing with the finished books that it should contain.

    Only keys that this listing would contain count: books of another bucket, behind another
    prefix or with another suffix are ignored.

    Args:
        books: The listing of the source.
        source: The source.
        ledger: The ledger.
        unknown: Documents of the index that the ledger does not record, see `IndexDifferences`.
        whole_source: False if the run processes chosen books only; nothing is deleted then.
        unlisted: Folders that could not be listed; nothing below them is deleted.
    """
    if not whole_source:
        return DeletedBooks()
    tombstones = ledger.tombstones.renames()
    listed = {book.book_id: book for book in books}
    in_index = (
        {**row, "first_run": row["run_seq"]} for row in unknown if row["source"] == source.identity
    )
    finished = {
        row["book_id"]: row
        for row in (
            *in_index,
            *ledger.documents.read_books_of_source(source.identity).to_pylist(),
        )
        if source.selects(row["key"])
    }
    known = finished.keys() - tombstones.keys()
    absent = known - listed.keys()
    unseen = select_below(((book_id, finished[book_id]["key"]) for book_id in absent), unlisted)
    missing = [finished[book_id] for book_id in absent - unseen]
    taken = set(tombstones.values())
    candidates = [book for book in books if book.book_id not in taken]
    # A book that was gone and came back appeared when it came back; with a tombstone, it does now.
    appeared = {book_id: finished[book_id]["first_run"] for book_id in known}
    appeared |= {
        book_id: run_seq
        for book_id, run_seq in ledger.tombstones.returned().items()
        if book_id in known
    }
    return DeletedBooks(
        keys={row["book_id"]: row["key"] for row in missing},
        renames=match_renames(missing, candidates, appeared),
        returned=[book_id for book_id in listed if book_id in tombstones],
        known=len(known),
        unseen=unseen,
    )


def match_renames(
    missing: Iterable[Mapping[str, Any]], candidates: Iterable[Book], appeared: Mapping[str, int]
) -> dict[str, str]:
    """Pair each missing book with a listed book that seems to be the same book, if there is any.

    Without reading a book, these are the signs of a rename: a listed book that appeared later, and
    has the same ETag, or the same file name and size (a copy on S3 may get another ETag).

    Args:
        missing: Rows with `book_id`, `key`, `etag` and `size`.
        candidates: Listed books that may be new names.
        appeared: Number of the run in which a book appeared at the source, by id; without books
            that appear in this run.

    Returns:
        Ids of the listed books, by the id of the missing book. Each id occurs once.
    """
    by_sign: defaultdict[tuple[str, object], list[str]] = defaultdict(list)
    for book in sorted(candidates, key=lambda book: book.key):
        for sign in _signs(book.etag, book.key, book.size):
            by_sign[sign].append(book.book_id)
    renames: dict[str, str] = {}
    taken: set[str] = set()
    rows = sorted(missing, key=lambda row: row["key"])
    # The strongest signs of all books come first, so that no weaker pair takes their book.
    for strength in range(3):
        for row in rows:
            if row["book_id"] in renames:
                continue
            sign = _signs(row["etag"], row["key"], row["size"])[strength]
            for new_id in by_sign.get(sign, ()):
                is_later = new_id not in appeared or appeared[new_id] > appeared[row["book_id"]]
                if is_later and new_id not in taken:
                    renames[row["book_id"]] = new_id
                    taken.add(new_id)
                    break
    return renames


def _signs(etag: str, key: str, size: int) -> list[tuple[str, object]]:
    """Return what two names of a book have in common, the strongest sign first."""
    name = key.rpartition("/")[2]
    return [("etag and name", (etag, name)), ("etag", etag), ("name and size", (name, size))]


def check_deletions(
    deleted: DeletedBooks, limit: DeletionLimit, selection: str, *, purge: bool = False
) -> None:
    """Stop a run that would delete more books than its limit allows, before it begins.

    Args:
        deleted: What is deleted from the source.
        limit: The limit.
        selection: Which books the source lists, for the message.
        purge: Whether the run deletes the index, so that it holds only listed books afterwards.

    Raises:
        SetupError: More books are removed than the limit allows, or unseen books are purged.
    """
    if purge and deleted.unseen and not limit.allow_all:
        raise SetupError(
            f"purge=true deletes {len(deleted.unseen):,} books in folders that cannot be listed. "
            "Fix: make the folders readable, run without purge=true, or add allow_deletes=true"
        )
    if not deleted.exceeds(limit):
        return
    keys = sorted(key for book_id, key in deleted.keys.items() if book_id not in deleted.renames)
    raise SetupError(
        f"{deleted.removed:,} of {deleted.known:,} books are gone from {selection} "
        f"({deleted.removed_fraction:.1%}, more than max_delete_fraction={limit.max_fraction:g}): "
        f"{', '.join(keys[:_KEYS_SHOWN])}{' ...' if len(keys) > _KEYS_SHOWN else ''}. If they were "
        "removed on purpose, delete them with allow_deletes=true; otherwise check the source"
    )


def restore_returned(deleted: DeletedBooks, ledger: Ledger, run_seq: int) -> None:
    """Lift the tombstones of books that are listed again.

    Raises:
        SetupError: The state cannot be written.
    """
    if deleted.returned:
        log.info("%s removed books are at the source again", f"{len(deleted.returned):,}")
        ledger.tombstones.restore(deleted.returned, run_seq)


def apply_deletions(
    deleted: DeletedBooks,
    ledger: Ledger,
    indices: Sequence[Index],
    run_seq: int,
    finished: Set[str] = frozenset(),
) -> Deletions:
    """Delete books from indices, then record it in the ledger and the tombstones.

    A renamed book is deleted from an index only once that index has acknowledged it under its new
    key. The order matters: after an interruption the next run finds the same books deleted.

    Args:
        deleted: What is deleted from the source.
        ledger: The ledger.
        indices: The indices to delete from; first the index that the run wrote.
        run_seq: Number of the run, the version of the deletion.
        finished: Ids of the finished books, for a run without an index.

    Raises:
        SetupError: An index or the state cannot be written.
    """
    tombstones = ledger.tombstones.renames()
    if not deleted.keys and not tombstones:
        return Deletions()
    renames = {**tombstones, **dict.fromkeys(deleted.keys, ""), **deleted.renames}
    present = [_present_books(index, ledger.checkpoint) for index in indices]
    for index, book_ids in zip(indices, present, strict=True):
        deletable = deletable_books(renames, book_ids)
        # A book with a tombstone is in the index if its new key was not, at an earlier run.
        if doomed := deletable & (deleted.keys.keys() | book_ids):
            delete_from_index(index, doomed, ledger.checkpoint, run_seq)
            index.refresh()
    recorded = deletable_books(renames, present[0] if present else finished)
    keys = {book_id: key for book_id, key in deleted.keys.items() if book_id in recorded}
    if keys:
        ledger.tombstones.append(keys, run_seq, deleted.renames)
        log.info(
            "%s books are gone from the source (%s of them renamed): their documents are deleted",
            f"{len(keys):,}",
            f"{len(keys.keys() & deleted.renames.keys()):,}",
        )
    return Deletions(len(keys), len(deleted.keys) - len(keys))


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


def _present_books(index: Index, checkpoint: Checkpoint) -> set[str]:
    """Return the ids of the books that an index has acknowledged."""
    return set(checkpoint.read_generation(index.ref.generation)["book_id"].to_pylist())
