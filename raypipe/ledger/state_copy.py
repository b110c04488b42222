"""Copy a state: a backup, or its restoration. A run may write to the state meanwhile.

A table of the ledger refers to documents that were written before it. So the ledger's parts are
listed first, then everything else is listed and copied, and then those parts are copied. A part
that is compacted in between is gone when it is read; then both listings are repeated. At any moment
the ledger in the copy claims nothing that the copy lacks, also if copying is interrupted.

`copy.json` in the copy names the state, and the owner of the lock under which it was copied. A run
on the copy writes another owner, and then the copy is a state of its own that is never overwritten.
"""

from __future__ import annotations

import json
import logging
import string
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from raypipe.core.errors import SetupError
from raypipe.core.json_record import read_object
from raypipe.ledger import (
    adaptations,
    answer_cache,
    checkpoint,
    document_store,
    failure_log,
    recipes,
    run_records,
    tombstones,
    usage,
)
from raypipe.ledger.lock_owner import LOCK_NAME, LockOwner, decode_owner, encode_owner
from raypipe.ledger.object_copier import ObjectCopier
from raypipe.ledger.writer_lock import WriterLock
from raypipe.state.parquet_table import find_replaced
from raypipe.state.store import COPY_MARKER, IDENTITY, State, state_id

log = logging.getLogger(__name__)

_LEDGER = tuple(f"{module.FOLDER}/" for module in (checkpoint, failure_log, tombstones))
"""Folders that refer to documents."""
_DOCUMENTS = tuple(f"{part.FOLDER}/" for part in (adaptations, document_store, recipes, usage))
_CACHE, _RUNS = f"{answer_cache.FOLDER}/", f"{run_records.FOLDER}/"
_PROBES = "probe/"
_SLICES = string.digits + string.ascii_lowercase  # first characters of the groups of the cache
_MAX_ROUNDS = 20


@dataclass
class CopyResult:
    """What was copied.

    Args:
        copied: Number of objects that were copied.
        bytes: Their size.
        present: Number of objects that the copy had already.
        removed: Number of parts that compaction replaced.
        run_seq: Number of the last run in the copy.
        seconds: Duration.
    """

    copied: int = 0
    bytes: int = 0
    present: int = 0
    removed: int = 0
    run_seq: int = 0
    seconds: float = 0.0


@dataclass
class StateCopy:
    """The copying of one state to one place.

    Args:
        source: The state; only read.
        target: An empty place, or an earlier copy of the same state.
        sleep: Waits that many seconds.
    """

    source: State
    target: State
    sleep: Callable[[float], None] = time.sleep
    _result: CopyResult = field(default_factory=CopyResult, init=False)

    def run(self) -> CopyResult:
        """Copy, verify, and return what was copied.

        Raises:
            SetupError: There is no state at the source, the target holds something else or is in
                use, or one of them cannot be read or written.
        """
        began = time.monotonic()
        self._check_places()
        identity = self._read_identity()
        self._check_target(identity)
        self.target.check()
        owner = self._read_claim(self.source) or LockOwner()
        self._set_run_seq(owner.run_seq)
        with self._acquire() as lock:
            owner_id = (self._read_claim(self.target) or LockOwner()).owner
            self._mark(identity, owner_id, complete=False)
            copier = ObjectCopier(self.source, self.target, lock.check)
            self._copy_cache(copier)
            self._copy_usage(copier)  # after the answers that the logs of calls belong to
            parts = self._copy_tables(copier)
            self._copy_runs(copier)
            lock.check()
            self._remove_replaced(parts)
            self._verify(parts, _list(self.target, (*_DOCUMENTS, *_LEDGER)))
            self.target.put(IDENTITY, identity)
            self._mark(identity, owner_id, complete=True)
        owner = self._read_claim(self.source) or LockOwner()
        self._set_run_seq(owner.run_seq, owner_id)
        self._result.copied, self._result.bytes = copier.copied, copier.bytes
        self._result.run_seq = (self._read_claim(self.target) or owner).run_seq
        self._result.seconds = time.monotonic() - began
        return self._result

    def _check_places(self) -> None:
        first, second = (_normalize(state.uri) for state in (self.source, self.target))
        if f"{first}/".startswith(f"{second}/") or f"{second}/".startswith(f"{first}/"):
            raise SetupError(
                f"cannot copy {self.source.uri} to {self.target.uri}: one is inside the other; "
                "choose another folder or prefix"
            )

    def _read_identity(self) -> bytes:
        identity = self.source.get(IDENTITY)
        if identity is None and self.source.get(COPY_MARKER) is None:
            raise SetupError(f"there is no state at {self.source.uri}; check the folder or prefix")
        state_id(self.source)  # raises if it is damaged, incomplete, or of another version
        return identity or b""

    def _check_target(self, identity: bytes) -> None:
        """Raise an error unless the target is empty or an earlier copy of this state."""
        claim = self._read_claim(self.target)
        marker = self._read_marker()
        if marker is None:
            names = self.target.list()
            if any(name != LOCK_NAME and not name.startswith(_PROBES) for name in names):
                raise SetupError(
                    f"{self.target.uri} is not empty, and not a copy of {self.source.uri}; choose "
                    "an empty folder or prefix"
                )
            return
        if marker.get("state") != json.loads(identity)["id"]:
            raise SetupError(
                f"{self.target.uri} is a copy of another state; choose an empty folder or prefix"
            )
        if self.target.get(IDENTITY) is None:
            return  # the first copy was interrupted, and no run can have used it
        if claim is not None and claim.owner not in ("", marker.get("owner")):
            raise SetupError(
                f"a run has written to {self.target.uri} since it was copied ({claim}), so it is "
                "no copy any more; choose an empty folder or prefix"
            )
        source_runs, target_runs = (set(state.list(_RUNS)) for state in (self.source, self.target))
        if newer := sorted(target_runs - source_runs):
            raise SetupError(
                f"{self.target.uri} has a run that {self.source.uri} lacks ({newer[-1]}): it was "
                "copied from a newer state; choose an empty folder or prefix"
            )

    def _read_marker(self) -> dict[str, object] | None:
        data = self.target.get(COPY_MARKER)
        if data is None:
            return None
        try:
            return read_object(data)
        except ValueError:
            return {}

    def _mark(self, identity: bytes, owner_id: str, *, complete: bool) -> None:
        marker = {
            "state": json.loads(identity)["id"],
            "owner": owner_id,
            "complete": complete,
            "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }
        self.target.put(COPY_MARKER, json.dumps(marker, indent=1).encode())

    def _acquire(self) -> WriterLock:
        """Acquire the lock of the target; an owner on another host that still runs is an error."""
        first = self._read_claim(self.target)

        def wait(seconds: float) -> None:
            self.sleep(seconds)
            now = self._read_claim(self.target)
            if first and now and (now.owner, now.beat) != (first.owner, first.beat):
                raise SetupError(f"{self.target.uri} is in use: {now}; wait until it ends")

        return WriterLock.acquire(self.target, sleep=wait)

    def _read_claim(self, state: State) -> LockOwner | None:
        data = state.get(LOCK_NAME)
        return None if data is None else decode_owner(data, state)

    def _set_run_seq(self, run_seq: int, owner_id: str = "") -> None:
        """Write a released lock with a run number; a lock of another owner is left as it is.

        Args:
            run_seq: The number of the last run of the source.
            owner_id: The owner whose lock is replaced; '' for none.
        """
        tagged = self.target.get_tagged(LOCK_NAME)
        claim = encode_owner(LockOwner(run_seq=run_seq))
        if tagged is None:
            self.target.put_if_absent(LOCK_NAME, claim)
            return
        owner = decode_owner(tagged[0], self.target)
        if not owner.held and owner.owner in ("", owner_id):
            # The copier's own acquisition raised the number by one; a run of the source that began
            # meanwhile may have the same number.
            self.target.put_if_match(LOCK_NAME, claim, tagged[1])

    def _copy_cache(self, copier: ObjectCopier) -> None:
        """Copy the paid answers, in slices, since there may be millions of names."""
        for first in _SLICES:
            prefix = f"{_CACHE}{first}"
            if sizes := self.source.list_sizes(prefix):
                present = self.target.list_sizes(prefix)
                self._count_present(sizes, present)
                copier.copy(sizes, present)
                self._verify(sizes, self.target.list_sizes(prefix))

    def _copy_usage(self, copier: ObjectCopier) -> None:
        """Copy the logs of calls, and after them the sums, to which a run adds logs."""
        logs, present = (usage.list_mutable(state) for state in (self.source, self.target))
        copier.copy(logs, {})
        copier.copy({usage.SUMS: 0} if self.source.get(usage.SUMS) else {}, {})
        self.target.delete(sorted(present.keys() - logs.keys()))

    def _copy_tables(self, copier: ObjectCopier) -> dict[str, int]:
        """Copy all parts; return the sizes of the parts that the source had at last."""
        present = _list(self.target, (*_DOCUMENTS, *_LEDGER))
        for number in range(_MAX_ROUNDS):
            ledger = _list(self.source, _LEDGER)
            documents = _list(self.source, _DOCUMENTS)
            if number == 0:
                self._count_present({**ledger, **documents}, present)
            # The ledger's parts are copied only if no document they refer to is missing.
            if copier.copy(documents, present) and copier.copy(ledger, present):
                return {**ledger, **documents}
            log.info("parts of the state %s were compacted; listing again", self.source.uri)
        raise SetupError(
            f"parts of the state {self.source.uri} are deleted while they are copied; copy again "
            "later, or check whether another program deletes files there"
        )

    def _copy_runs(self, copier: ObjectCopier) -> None:
        """Copy the records of all runs: a run replaces its own record when it ends."""
        latest = self.source.get(run_records.LATEST)
        records = self.source.list_sizes(_RUNS)
        records.pop(run_records.LATEST, None)
        copier.copy(records, {})
        if latest is not None:
            self.target.put(run_records.LATEST, latest)
        if self.target.get(IDENTITY) is None:
            # A run that was refused an interrupted first copy left its record there.
            extra = set(self.target.list(_RUNS)) - {*records, run_records.LATEST}
            self.target.delete(sorted(extra))

    def _remove_replaced(self, parts: Mapping[str, int]) -> None:
        """Remove replaced parts. Other parts that the source lacks stay: an accident may be why."""
        extra = [name for name in _list(self.target, (*_DOCUMENTS, *_LEDGER)) if name not in parts]
        replaced = find_replaced(extra, parts)
        self.target.delete(replaced)
        self._result.removed = len(replaced)

    def _verify(self, expected: Mapping[str, int], actual: Mapping[str, int]) -> None:
        """Check that the copy has every object with its size.

        An entry of the cache may have been replaced after it was listed.
        """
        wrong = [name for name, size in expected.items() if actual.get(name) != size]
        differing = [name for name in wrong if not self._is_equal(name)]
        if differing:
            raise SetupError(
                f"{len(differing):,} objects in {self.target.uri} differ from {self.source.uri}, "
                f"for example {differing[0]}; copy again"
            )

    def _is_equal(self, name: str) -> bool:
        data = self.source.get(name)
        return data is None or data == self.target.get(name)

    def _count_present(self, sizes: Mapping[str, int], present: Mapping[str, int]) -> None:
        self._result.present += sum(present.get(name) == size for name, size in sizes.items())


def _list(state: State, folders: Iterable[str]) -> dict[str, int]:
    sizes = {name: size for folder in folders for name, size in state.list_sizes(folder).items()}
    return {name: size for name, size in sizes.items() if not usage.is_mutable(name)}


def _normalize(uri: str) -> str:
    return uri if "://" in uri else str(Path(uri).resolve())
