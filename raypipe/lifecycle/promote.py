"""From a built index to the served one: what it must hold, and the one step over to it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from raypipe.core.errors import SetupError
from raypipe.core.options import IndexOptions
from raypipe.ledger.checkpoint import Checkpoint
from raypipe.ledger.documents import DocumentStore
from raypipe.ledger.tombstones import Tombstones
from raypipe.lifecycle.forget import delete_from_index
from raypipe.opensearch.index import Index, IndexAlias, IndexedBook, IndexRef
from raypipe.opensearch.index.encoding import document_body
from raypipe.opensearch.index.mapping import VECTOR
from raypipe.state.store import State, state_id

log = logging.getLogger(__name__)

_SAMPLE = 20
"""Documents that are compared field by field; each also must be its own nearest neighbor."""
_OF_THE_RUN = ("run_seq", "finished_at", "node_id")
"""Say when and where it was written, not what."""
_SHOWN = 5
_SAME_SCORE = 1e-4  # two documents of the same vector are each other's nearest
_MERGED_S = 3_600.0


@dataclass(frozen=True)
class Served:
    """What people search now.

    Args:
        index: The physical index.
        before: The one that they searched before; empty = none, or the same.
        lacking: Ids of books that the new index lacks: it is not served then.
    """

    index: str
    before: str = ""
    lacking: Sequence[str] = ()


@dataclass(frozen=True)
class Promoter:
    """Lets the alias go over to a new index, if that is whole.

    Args:
        alias: The alias that is searched.
        state: Where the ledger and the documents are.
        options: What is done before and after.
        run_seq: The run's number, the version of what is deleted.
    """

    alias: IndexAlias
    state: State
    options: IndexOptions
    run_seq: int

    def promote(self, new: Index, *, listed: Set[str] | None = None, force: bool = False) -> Served:
        """Check the new index, and serve it.

        Args:
            new: The new index.
            listed: Ids at the source; a book that is not there any more may be lacking. None =
                not known.
            force: Serve it though it lacks books that the old one has.

        Raises:
            SetupError: It does not hold what the ledger says it does, or another than that.
        """
        self.alias.check_options(self.options)
        new.restore_settings()
        self._merge(new)
        said = self._said(new)
        there = self._there(new, said.keys())
        self._check(new, there, said)
        old = self.alias.find()
        removed = Tombstones(self.state).standing()
        lacking = self._lacking(old, there, listed, removed)
        self._forget(new, removed & there.keys())
        if lacking and not force:
            assert old is not None
            return Served(old.ref.physical, lacking=lacking)
        before = self.alias.switch_to(new.ref.physical)
        log.info("%s stands on %s now", self.alias.config.index, new.ref.physical)
        self.alias.prune(state_id(self.state), self.options.keep)
        return Served(new.ref.physical, before)

    def now(self) -> Served:
        """Return what is served."""
        index = self.alias.find()
        return Served(index.ref.physical if index is not None else "")

    def back(self, to: str = "") -> Served:
        """Serve an old index again.

        Args:
            to: Which; empty = the newest that is older than the served one.

        Raises:
            SetupError: There is none.
        """
        served = self.alias.find()
        now = served.ref.physical if served is not None else ""
        found = [one for one in self.kept() if (one.physical == to if to else one.physical < now)]
        if not found:
            raise SetupError(
                f"there is no index to go back to{f' called {to}' if to else ''}; there are "
                f"{self.names()}, and {now or 'none'} is served"
            )
        old = self.alias.bind(found[0])
        old.restore_settings()
        self._forget(old, Tombstones(self.state).standing())
        return Served(old.ref.physical, self.alias.switch_to(old.ref.physical))

    def kept(self) -> list[IndexRef]:
        """Return all indices of this name and state, newest first."""
        return self.alias.list_indices(state_id(self.state))

    def _forget(self, index: Index, removed: Set[str]) -> None:
        """Take out of an old index what was removed at the source while another was served."""
        if removed:
            delete_from_index(index, removed, Checkpoint(self.state), self.run_seq)
            index.refresh()

    def names(self) -> str:
        """Return their names, for a message."""
        return ", ".join(one.physical for one in self.kept()) or "none"

    def _merge(self, new: Index) -> None:
        if self.options.force_merge is not None:
            new.force_merge(self.options.force_merge, _MERGED_S)

    def _lacking(
        self,
        old: Index | None,
        there: Mapping[str, IndexedBook],
        listed: Set[str] | None,
        removed: Set[str],
    ) -> list[str]:
        if old is None:
            return []
        old.refresh()
        return [
            one.book_id
            for one in old.scan()
            if one.book_id not in there
            and one.book_id not in removed
            and (listed is None or one.book_id in listed)
        ]

    def _said(self, new: Index) -> dict[str, str]:
        """Return the ETags of the books that the ledger says the new index has."""
        ledger = Checkpoint(self.state).of_generation(new.ref.generation)
        return dict(zip(ledger["book_id"].to_pylist(), ledger["etag"].to_pylist(), strict=True))

    def _there(self, new: Index, wanted: Set[str]) -> dict[str, IndexedBook]:
        """Return what stands in the new index, with all that was acknowledged where it is late."""
        new.refresh()
        there: dict[str, IndexedBook] = {}
        for _ in new.visibility_polls():
            there = {one.book_id: one for one in new.scan()}
            if wanted <= there.keys():
                break
        return there

    def _check(self, new: Index, there: Mapping[str, IndexedBook], said: Mapping[str, str]) -> None:
        """Hold the index against the ledger and the documents."""
        missing = [one for one in said if one not in there]
        other = [one for one in said if one in there and there[one].etag != said[one]]
        if missing or other:
            what, ids = ("are not in it", missing) if missing else ("are other versions", other)
            raise _unlike(new, f"{len(ids):,} books of the ledger {what} ({_some(ids)})")
        chosen = [there[one] for one in sorted(said)]
        step = max(1, len(chosen) // _SAMPLE)
        self._compare(new, chosen[::step][:_SAMPLE])

    def _compare(self, new: Index, sample: Sequence[IndexedBook]) -> None:
        documents = DocumentStore(self.state)
        finished = documents.finished(new.ref.recipe)
        kept = new.mget([one.book_id for one in sample], ["*"])
        for one in sample:
            part = finished.get((one.book_id, one.etag))
            found = documents.read(part, [one.book_id], [one.etag]) if part else []
            source = kept[one.book_id]
            if not found or source is None:
                continue
            wanted = orjson.loads(
                orjson.dumps(
                    document_body(found[0], new.ref.dimension or len(found[0].summary_vector)),
                    option=orjson.OPT_SERIALIZE_NUMPY,
                )
            )
            if field := _different(wanted, source):
                raise _unlike(new, f"book {one.book_id} has another {field} than was finished")
            if not new.is_nearest(one.book_id, wanted[VECTOR], _SAME_SCORE):
                raise _unlike(new, f"book {one.book_id} is not found by its own vector")


def _different(wanted: Mapping[str, Any], source: Mapping[str, Any]) -> str:
    """Return the first field in which a kept document differs; empty = none."""
    for name, value in wanted.items():
        if name in _OF_THE_RUN:
            continue
        if name == VECTOR:
            same = np.allclose(np.asarray(value), np.asarray(source.get(name, [])), atol=1e-5)
        else:
            same = source.get(name) == value
        if not same:
            return name
    return ""


def _unlike(new: Index, what: str) -> SetupError:
    return SetupError(
        f"the new index {new.ref.physical} is not served: {what}; delete it and run again, the "
        "documents are kept"
    )


def _some(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - _SHOWN:,} more" if len(ids) > _SHOWN else ""
    return ", ".join(ids[:_SHOWN]) + more
