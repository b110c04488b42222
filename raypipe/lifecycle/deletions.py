"""Books that are not at the source any more: found in a whole listing, and deleted last of all."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from raypipe.core.book import Book
from raypipe.core.errors import SetupError
from raypipe.lifecycle.forget import delete_from_index
from raypipe.opensearch.index import Index, IndexAlias
from raypipe.run.job import Job

log = logging.getLogger(__name__)

_SHOWN = 3


@dataclass(frozen=True)
class DeletedBooks:
    """What a listing says of books that were there before.

    Args:
        gone: Keys, by id, of finished books that the listing would name and does not.
        renamed: How many of them have the ETag of a new book: renamed, as far as can be told
            without reading.
        back: Ids of removed books that are there again.
        known: Finished books that the listing should name.
    """

    gone: Mapping[str, str] = field(default_factory=dict)
    renamed: int = 0
    back: Sequence[str] = ()
    known: int = 0

    @property
    def removed(self) -> int:
        """Return how many are gone and not renamed."""
        return len(self.gone) - self.renamed

    @property
    def share(self) -> float:
        """Return the share of the known books that are removed."""
        return self.removed / max(self.known, 1)

    def too_many(self, job: Job) -> bool:
        """Whether more is gone than the job may delete unasked."""
        return not job.allow_deletes and self.share > job.max_delete_fraction


def find_deleted(job: Job, books: Sequence[Book]) -> DeletedBooks:
    """Hold a listing against the finished books that it should name.

    Only keys that this very listing would name count: those of another bucket, behind another
    prefix or with another ending are left alone.

    Args:
        job: The job.
        books: Its whole listing; all pages of it came, or it had raised.
    """
    if job.only is not None:
        return DeletedBooks()
    removals = job.ledger.tombstones.standing()
    listed = {book.book_id for book in books}
    back = [one for one in listed if one in removals]
    gone: dict[str, str] = {}
    etags: dict[str, str] = {}
    known = 0
    new = {book.book_id: book.etag for book in books}
    for cell in job.ledger.documents.places(job.store.identity).to_pylist():
        one, key = cell["book_id"], cell["key"]
        new.pop(one, None)
        if one in removals or not job.store.selects(key):
            continue
        known += 1
        if one not in listed:
            gone[one], etags[one] = key, cell["etag"]
    fresh = set(new.values())
    renamed = sum(etag in fresh for etag in etags.values())
    return DeletedBooks(gone, renamed, back, known)


def check_deletions(found: DeletedBooks, job: Job) -> None:
    """Raise `SetupError` if more is gone than may be deleted unasked; nothing was begun then."""
    if not found.too_many(job):
        return
    some = ", ".join(sorted(found.gone.values())[:_SHOWN])
    raise SetupError(
        f"{found.removed:,} of {found.known:,} books are gone from {job.store.selection} "
        f"({found.share:.1%}, more than max_delete_fraction={job.max_delete_fraction:g}): {some}"
        f"{' ...' if len(found.gone) > _SHOWN else ''}. If they were removed, delete them with "
        "allow_deletes=true; else look at the source"
    )


def restore_returned(found: DeletedBooks, job: Job, run_seq: int) -> None:
    """Let removed books that are there again be books like others."""
    if found.back:
        log.info("%s removed books are at the source again", f"{len(found.back):,}")
        job.ledger.tombstones.restore(found.back, run_seq)


def apply_deletions(found: DeletedBooks, job: Job, handle: Index | None, run_seq: int) -> None:
    """Delete what is gone from the index, then note it in the ledger and among the removed.

    In this order: whatever stops it, the next run finds the same books gone.

    Raises:
        SetupError: The index or the state cannot be written.
    """
    if not found.gone:
        return
    for one in _indices(job, handle):
        delete_from_index(one, found.gone, job.ledger.checkpoint, run_seq)
    job.ledger.tombstones.append(found.gone, run_seq)
    log.info(
        "%s books are not at the source any more (%s of them renamed): their documents are deleted",
        f"{len(found.gone):,}",
        f"{found.renamed:,}",
    )


def _indices(job: Job, handle: Index | None) -> list[Index]:
    """Return the index of the run and, where that is built beside it, the one that is served."""
    if handle is None or job.index is None:
        return []
    served = None if handle.ref.served else IndexAlias(job.index).find()
    return [handle] if served is None else [handle, served]
