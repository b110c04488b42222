"""Detect books deleted from the source; remove them from the index at the end of a run."""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from raypipe.core.book import Book
from raypipe.core.book_table import BookTable, is_one_of
from raypipe.core.errors import SetupError
from raypipe.ledger.checkpoint import Checkpoint, Processed
from raypipe.ledger.facade import Ledger
from raypipe.ledger.tombstones import deletable_books, exclude_books
from raypipe.lifecycle.deleted_books import DeletedBooks, DeletionLimit, Deletions
from raypipe.opensearch.index import Index
from raypipe.sources import BookSource
from raypipe.sources.listing import UnlistedFolder, select_below
from raypipe.state.text_positions import index_in

log = logging.getLogger(__name__)

_KEYS_SHOWN = 3


def find_deleted(
    books: Iterable[Book],
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
    listed = BookTable.of(books)
    known = exclude_books(_find_finished(source, ledger, unknown), tombstones)
    is_absent = index_in(known["book_id"], listed.book_ids) < 0
    absent = known.filter(pa.array(is_absent))
    keys = zip(absent["book_id"].to_pylist(), absent["key"].to_pylist(), strict=True)
    unseen = select_below(keys, unlisted)
    missing = exclude_books(absent, unseen)
    rows, renames = missing.to_pylist(), {}
    if rows:
        candidates = _select_candidates(listed, missing, tombstones.values())
        appeared = _find_appearances(known, ledger.tombstones.returned(), rows, candidates)
        renames = match_renames(rows, candidates, appeared)
    returned = listed.book_ids.filter(is_one_of(listed.book_ids, tombstones)).unique()
    return DeletedBooks(
        keys={row["book_id"]: row["key"] for row in rows},
        renames=renames,
        returned=returned.to_pylist(),
        known=len(known),
        unseen=unseen,
    )


def _find_finished(
    source: BookSource, ledger: Ledger, unknown: Iterable[Mapping[str, Any]]
) -> pa.Table:
    """Return the books that were finished before and that a listing of the source contains.

    Returns:
        Columns `book_id`, `key`, `etag`, `size`, `first_run`; each book once.
    """
    finished = ledger.documents.read_books_of_source(source.identity)
    rows = [
        {**row, "first_run": row["run_seq"]} for row in unknown if row["source"] == source.identity
    ]
    in_index = pa.Table.from_pylist(rows, schema=finished.schema)
    is_known = pc.is_in(in_index["book_id"], value_set=finished["book_id"])
    books = pa.concat_tables([finished, in_index.filter(pc.invert(is_known))])
    is_selected = [
        source.selects(key) for chunk in books["key"].chunks for key in chunk.to_pylist()
    ]
    return books if all(is_selected) else books.filter(pa.array(is_selected, pa.bool_()))


def _select_candidates(listed: BookTable, missing: pa.Table, taken: Collection[str]) -> BookTable:
    """Return the listed books that may be new names of missing books: with an ETag or a size."""
    has_sign = pc.or_(
        pc.is_in(listed.table["etag"], value_set=missing["etag"]),
        pc.is_in(listed.table["size"], value_set=missing["size"]),
    )
    return listed.filter(pc.and_not(has_sign, is_one_of(listed.book_ids, taken)))


def _find_appearances(
    known: pa.Table,
    returned: Mapping[str, int],
    missing: Iterable[Mapping[str, Any]],
    candidates: BookTable,
) -> dict[str, int]:
    """Return the number of the run in which books appeared at the source, by id.

    A book that was gone and came back appeared when it came back.
    """
    book_ids = [*(row["book_id"] for row in missing), *candidates.book_ids.to_pylist()]
    rows = known.filter(is_one_of(known["book_id"], book_ids)).to_pylist()
    return {row["book_id"]: returned.get(row["book_id"], row["first_run"]) for row in rows}


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


def exceeds_limit(deleted: DeletedBooks, limit: DeletionLimit) -> bool:
    """Whether more books are removed than the limit allows."""
    return not limit.allow_all and deleted.removed_fraction > limit.max_fraction


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
    if not exceeds_limit(deleted, limit):
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
    present = [_present_books(index, ledger.checkpoint, renames) for index in indices]
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


def _present_books(index: Index, checkpoint: Checkpoint, renames: Mapping[str, str]) -> set[str]:
    """Return the ids of deleted books and their new names that an index has acknowledged."""
    book_ids = checkpoint.read_generation(index.ref.generation)["book_id"]
    wanted = {*renames, *renames.values()}
    return set(book_ids.filter(is_one_of(book_ids, wanted)).to_pylist())
