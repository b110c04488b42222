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
from raypipe.opensearch.index import rebuild as build
from raypipe.opensearch.index.config import IndexConfig, IndexRef
from raypipe.opensearch.index.index import Found, get_index
from raypipe.opensearch.index.mapping import VECTOR, body_of
from raypipe.opensearch.index.reads import IndexedBook, mget, refresh, scan_ids
from raypipe.opensearch.index.serverless import visibility_polls
from raypipe.opensearch.search import is_nearest
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
        index: The alias, and where.
        state: Where the ledger and the documents are.
        options: What is done before and after.
        run_seq: The run's number, the version of what is deleted.
    """

    index: IndexConfig
    state: State
    options: IndexOptions
    run_seq: int

    def promote(
        self, new: IndexRef, *, listed: Set[str] | None = None, force: bool = False
    ) -> Served:
        """Check the new index, and serve it.

        Args:
            new: The new index.
            listed: Ids at the source; a book that is not there any more may be lacking. None =
                not known.
            force: Serve it though it lacks books that the old one has.

        Raises:
            SetupError: It does not hold what the ledger says it does, or another than that.
        """
        build.check_options(self.index, self.options)
        build.restore_index_settings(self.index, new)
        self._merge(new)
        said = self._said(new)
        there = self._there(new, said.keys())
        self._check(new, there, said)
        old = get_index(self.index)
        removed = Tombstones(self.state).standing()
        lacking = self._lacking(old, there, listed, removed)
        self._forget(new, removed & there.keys())
        if lacking and not force:
            assert old is not None
            return Served(old.handle.physical, lacking=lacking)
        before = build.switch_alias(self.index, new.physical)
        log.info("%s stands on %s now", self.index.index, new.physical)
        build.prune(self.index, state_id(self.state), self.options.keep)
        return Served(new.physical, before)

    def now(self) -> Served:
        """Return what is served."""
        found = get_index(self.index)
        return Served(found.handle.physical if found is not None else "")

    def back(self, to: str = "") -> Served:
        """Serve an old index again.

        Args:
            to: Which; empty = the newest that is older than the served one.

        Raises:
            SetupError: There is none.
        """
        served = get_index(self.index)
        now = served.handle.physical if served is not None else ""
        found = [one for one in self.kept() if (one.physical == to if to else one.physical < now)]
        if not found:
            raise SetupError(
                f"there is no index to go back to{f' called {to}' if to else ''}; there are "
                f"{self.names()}, and {now or 'none'} is served"
            )
        old = found[0]
        build.restore_index_settings(self.index, old)
        self._forget(old, Tombstones(self.state).standing())
        return Served(old.physical, build.switch_alias(self.index, old.physical))

    def kept(self) -> list[IndexRef]:
        """Return all indices of this name and state, newest first."""
        return build.family(self.index, state_id(self.state))

    def _forget(self, handle: IndexRef, removed: Set[str]) -> None:
        """Take out of an old index what was removed at the source while another was served."""
        if removed:
            delete_from_index(self.index, handle, removed, Checkpoint(self.state), self.run_seq)
            refresh(self.index, handle)

    def names(self) -> str:
        """Return their names, for a message."""
        return ", ".join(one.physical for one in self.kept()) or "none"

    def _merge(self, new: IndexRef) -> None:
        if self.options.force_merge is None:
            return
        params = {"max_num_segments": self.options.force_merge, "wait_for_completion": "false"}
        task = self.index.connection.ask("POST", f"/{new.physical}/_forcemerge", params=params)
        build.wait_for_task(self.index, str(task["task"]), _MERGED_S)

    def _lacking(
        self,
        old: Found | None,
        there: Mapping[str, IndexedBook],
        listed: Set[str] | None,
        removed: Set[str],
    ) -> list[str]:
        if old is None:
            return []
        refresh(self.index, old.handle)
        return [
            one.book_id
            for one in scan_ids(self.index, old.handle)
            if one.book_id not in there
            and one.book_id not in removed
            and (listed is None or one.book_id in listed)
        ]

    def _said(self, new: IndexRef) -> dict[str, str]:
        """Return the ETags of the books that the ledger says the new index has."""
        ledger = Checkpoint(self.state).of_generation(new.generation)
        return dict(zip(ledger["book_id"].to_pylist(), ledger["etag"].to_pylist(), strict=True))

    def _there(self, new: IndexRef, wanted: Set[str]) -> dict[str, IndexedBook]:
        """Return what stands in the new index, with all that was acknowledged where it is late."""
        refresh(self.index, new)
        there: dict[str, IndexedBook] = {}
        for _ in visibility_polls(self.index):
            there = {one.book_id: one for one in scan_ids(self.index, new)}
            if wanted <= there.keys():
                break
        return there

    def _check(
        self, new: IndexRef, there: Mapping[str, IndexedBook], said: Mapping[str, str]
    ) -> None:
        """Hold the index against the ledger and the documents."""
        missing = [one for one in said if one not in there]
        other = [one for one in said if one in there and there[one].etag != said[one]]
        if missing or other:
            what, ids = ("are not in it", missing) if missing else ("are other versions", other)
            raise _unlike(new, f"{len(ids):,} books of the ledger {what} ({_some(ids)})")
        chosen = [there[one] for one in sorted(said)]
        step = max(1, len(chosen) // _SAMPLE)
        self._compare(new, chosen[::step][:_SAMPLE])

    def _compare(self, new: IndexRef, sample: Sequence[IndexedBook]) -> None:
        documents = DocumentStore(self.state)
        finished = documents.finished(new.recipe)
        kept = mget(self.index, new, [one.book_id for one in sample], ["*"])
        for one in sample:
            part = finished.get((one.book_id, one.etag))
            found = documents.read(part, [one.book_id], [one.etag]) if part else []
            source = kept[one.book_id]
            if not found or source is None:
                continue
            wanted = orjson.loads(
                orjson.dumps(
                    body_of(found[0], new.dimension or len(found[0].summary_vector)),
                    option=orjson.OPT_SERIALIZE_NUMPY,
                )
            )
            if field := _different(wanted, source):
                raise _unlike(new, f"book {one.book_id} has another {field} than was finished")
            if not is_nearest(self.index, new, one.book_id, wanted[VECTOR], _SAME_SCORE):
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


def _unlike(new: IndexRef, what: str) -> SetupError:
    return SetupError(
        f"the new index {new.physical} is not served: {what}; delete it and run again, the "
        "documents are kept"
    )


def _some(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - _SHOWN:,} more" if len(ids) > _SHOWN else ""
    return ", ".join(ids[:_SHOWN]) + more
