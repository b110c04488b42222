"""The result of a run for its books: the numbers of its record, and whether the books balance."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import asdict, dataclass, field
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc

from raypipe.coordination.counts import Progress
from raypipe.core import exit_codes
from raypipe.core.book_table import is_one_of
from raypipe.ledger.facade import RunResults
from raypipe.ledger.run_records import RunRecord, find_imbalances
from raypipe.lifecycle.deleted_books import Deletions
from raypipe.lifecycle.promote import Served
from raypipe.opensearch.index import Index
from raypipe.run.planner import RunPlan


@dataclass(frozen=True)
class Outcome:
    """The result of a run; each set of ids comes from its own source.

    Args:
        plan: What the run was to do.
        results: What the ledger recorded of the run.
        progress: The run's last numbers.
        index: The index that the run wrote; None for a run without an index.
        served: What is served after the run; None if the run wrote the served index.
        deletions: What the run deleted because it is gone from the source.
        unlisted_folders: Number of folders that could not be listed.
        unseen: Number of finished books in these folders.
        not_taken: Number of listed keys that are no books, by ending or reason.
    """

    plan: RunPlan
    results: RunResults = field(default_factory=RunResults)
    progress: Progress = field(default_factory=Progress)
    index: Index | None = None
    served: Served | None = None
    deletions: Deletions = field(default_factory=Deletions)
    unlisted_folders: int = 0
    unseen: int = 0
    not_taken: Mapping[str, int] = field(default_factory=dict)

    @cached_property
    def stopped(self) -> frozenset[str]:
        """Return the ids of the books that the run left because it was stopped."""
        if not self.progress.stop_reason:
            return frozenset()
        todo = self.plan.todo.book_ids.to_pylist()
        return frozenset(todo) - self.results.done - self.results.failed

    @property
    def left(self) -> int:
        """Return the number of books that the run left because of its limit or a stop."""
        if not self.stopped:
            return _count(self.plan.over_limit)
        return len(self.stopped.union(self.plan.over_limit.to_pylist()))

    def find_imbalances(self) -> list[str]:
        """Return what is wrong with the run's books, one line each; see `find_imbalances`."""
        plan, results = self.plan, self.results
        # The plan alone decides about the other skipped books: a million of them are no set.
        touched = results.done | results.failed | self.stopped | plan.repeated_ids
        skipped = _select(plan.skipped, touched)
        over_limit = _select(plan.over_limit, touched)
        listed = skipped | over_limit | set(plan.todo.book_ids.to_pylist())
        left = self.stopped | over_limit
        return find_imbalances(listed, skipped, results.done, results.failed, left)

    def write_to(self, record: RunRecord) -> None:
        """Set the numbers of a run's record."""
        plan, results, progress = self.plan, self.results, self.progress
        record.status, record.reason = (
            ("stopped" if progress.stop_reason else "done"),
            progress.stop_reason,
        )
        record.listed, record.skipped = plan.listed, _count(plan.skipped)
        record.known_failures = len(plan.known_failures)
        done = len(results.done)
        record.indexed, record.finished = (0, done) if self.index is None else (done, 0)
        record.failed, record.left = len(results.failed), self.left
        record.degraded, record.removed = results.degraded, self.deletions.deleted
        record.renames_waiting = self.deletions.waiting
        record.unlisted_folders, record.unseen = self.unlisted_folders, self.unseen
        record.not_taken = dict(self.not_taken)
        record.model_calls, record.cached_calls = progress.model_calls, progress.cached_calls
        record.input_tokens, record.output_tokens = progress.input_tokens, progress.output_tokens
        record.usd = round(progress.usd, 6)
        record.models = [asdict(usage) for usage in progress.models]
        if self.index is not None:
            ref = self.index.ref
            record.index, record.generation = ref.physical, ref.generation
            record.served = ref.physical if ref.served else ""
        if self.served is not None:
            record.served, record.lacking = self.served.index, len(self.served.lacking)
        record.exit_code = self._exit_code(record)

    def _exit_code(self, record: RunRecord) -> int:
        if self.progress.stop_reason:
            return exit_codes.STOPPED
        if record.failed or record.degraded or record.unseen:
            return exit_codes.FAILED_BOOKS
        if record.lacking and not record.left:
            return exit_codes.FAILED_BOOKS  # known failures keep the new index from being served
        return exit_codes.OK


def _count(book_ids: pa.ChunkedArray) -> int:
    return int(pc.count_distinct(book_ids).as_py())


def _select(book_ids: pa.ChunkedArray, wanted: Set[str]) -> set[str]:
    """Return the ids that are wanted."""
    return set(book_ids.filter(is_one_of(book_ids, wanted)).to_pylist())
