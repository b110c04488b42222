"""Serve an index that was built beside the served one, or an old index again."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from raypipe.core.errors import SetupError
from raypipe.core.options import IndexOptions
from raypipe.ledger.facade import Ledger
from raypipe.ledger.tombstones import deletable_books
from raypipe.ledger.writer_lock import WriterLock
from raypipe.lifecycle.deletions import delete_from_index
from raypipe.lifecycle.index_check import check_index
from raypipe.opensearch.index import Index, IndexAlias, IndexRef
from raypipe.opensearch.index.alias import UnusedIndices
from raypipe.opensearch.index.reads import IndexedBook
from raypipe.state.store import state_id

log = logging.getLogger(__name__)

_FORCE_MERGE_TIMEOUT_S = 3_600.0


@dataclass(frozen=True)
class Served:
    """What people search. The field names are the keys of `output=json`.

    Args:
        index: Name of the physical index.
        before: Name of the index that was served before; '' if there was none, or the same.
        lacking: Ids of books that the new index lacks; it is not served then.
    """

    index: str
    before: str = ""
    lacking: Sequence[str] = ()


@dataclass(frozen=True)
class Promoter:
    """Decides which index the alias points at.

    Args:
        alias: The alias that people search.
        ledger: What the indices should hold.
        options: What to do before and after a promotion.
        run_seq: Number of the run, the version of deletions.
        lock: The lock of a command that opened no index before; it raises the number of the run
            above the versions of an index. None if that is done.
    """

    alias: IndexAlias
    ledger: Ledger
    options: IndexOptions
    run_seq: int
    lock: WriterLock | None = None

    def promote(self, new: Index, *, listed: Set[str] | None = None, force: bool = False) -> Served:
        """Check a new index, and point the alias at it if it is complete.

        Args:
            new: The new index.
            listed: Ids at the source: books that are not listed may be missing. None if unknown.
            force: Serve the index although it lacks books that the served index has.

        Raises:
            SetupError: The index does not hold what the ledger records, or is closed.
        """
        self.alias.check_options(self.options)
        _check_open(new.ref)
        new.restore_settings()
        if self.options.force_merge is not None:
            new.force_merge(self.options.force_merge, _FORCE_MERGE_TIMEOUT_S)
        present = check_index(new, self.ledger)
        removed = deletable_books(self.ledger.tombstones.renames(), present)
        served = self.alias.find()
        lacking = _find_lacking(served, present, listed, removed)
        self._delete_removed(new, removed & present.keys())
        if lacking and not force:
            assert served is not None
            return Served(served.ref.physical, lacking=lacking)
        before = self.alias.switch_to(new.ref.physical)
        log.info("%s points at %s", self.alias.config.index, new.ref.physical)
        self.alias.prune(self._state_id, self.options.keep)
        return Served(new.ref.physical, before)

    def current(self) -> Served:
        """Return what is served."""
        served = self.alias.find()
        return Served(served.ref.physical if served is not None else "")

    def rollback(self, to: str = "") -> Served:
        """Serve an old index again.

        Args:
            to: Name of the physical index; '' for the index that was served before.

        Raises:
            SetupError: There is no such index, or it is closed.
        """
        served = self.current().index
        others = [ref for ref in self.list_indices() if ref.physical != served]
        if to:
            candidates = [ref for ref in self.list_indices() if ref.physical == to]
        else:
            build = self.alias.find_build()
            candidates = [ref for ref in others if ref.last_served] or [
                ref for ref in others if build is None or ref.physical != build.ref.physical
            ]
        if not candidates:
            raise SetupError(
                f"there is no index{f' {to}' if to else ''} to roll back to; there are "
                f"{self.index_names()}, and {served or 'none'} is served"
            )
        _check_open(candidates[0])
        old = self.alias.bind(candidates[0])
        old.restore_settings()
        rows = self.ledger.checkpoint.read_generation(old.ref.generation)
        present = set(rows["book_id"].to_pylist())
        self._delete_removed(old, deletable_books(self.ledger.tombstones.renames(), present))
        return Served(old.ref.physical, self.alias.switch_to(old.ref.physical))

    def list_indices(self) -> list[IndexRef]:
        """Return all indices of this alias and state, the index that was served last first."""
        return self.alias.list_indices(self._state_id)

    def list_unused(self) -> UnusedIndices:
        """Return the indices of this alias and state that nobody needs."""
        return self.alias.list_unused(self._state_id, self.options.keep)

    def index_names(self) -> str:
        """Return the names of all indices of this alias and state, for messages."""
        return ", ".join(ref.physical for ref in self.list_indices()) or "none"

    def _delete_removed(self, index: Index, book_ids: Set[str]) -> None:
        """Delete books that were removed from the source while another index was served."""
        if book_ids:
            run_seq = self.run_seq
            if self.lock is not None:
                run_seq = self.lock.raise_run_seq(index.highest_run_seq() + 1)
            delete_from_index(index, book_ids, self.ledger.checkpoint, run_seq)
            index.refresh()

    @property
    def _state_id(self) -> str:
        return state_id(self.ledger.state)


def _check_open(ref: IndexRef) -> None:
    """Raise `SetupError` for a closed index, which cannot be searched."""
    if ref.closed:
        raise SetupError(
            f"{ref.physical} is closed, so it is not served; open it with "
            f"POST /{ref.physical}/_open, or name another index with to=<name>"
        )


def _find_lacking(
    served: Index | None,
    present: Mapping[str, IndexedBook],
    listed: Set[str] | None,
    removed: Set[str],
) -> list[str]:
    """Return the ids of books that the served index holds and the new one lacks."""
    if served is None or not served.ref.generation:
        return []  # an index of another program has no books
    served.refresh()
    return [
        book.book_id
        for book in served.scan()
        if book.book_id not in present
        and book.book_id not in removed
        and (listed is None or book.book_id in listed)
    ]
