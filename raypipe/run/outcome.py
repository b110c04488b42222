"""The result of a run for its books: the numbers of its record, and whether the books balance."""

from __future__ import annotations

from dataclasses import dataclass, field

from raypipe.coordination.run_coordinator import Progress
from raypipe.core import exit_codes
from raypipe.ledger.facade import RunResults
from raypipe.ledger.run_records import RunRecord, find_imbalances
from raypipe.lifecycle.deletions import Deletions
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
    """

    plan: RunPlan
    results: RunResults = field(default_factory=RunResults)
    progress: Progress = field(default_factory=Progress)
    index: Index | None = None
    served: Served | None = None
    deletions: Deletions = field(default_factory=Deletions)
    unlisted_folders: int = 0
    unseen: int = 0

    @property
    def left(self) -> set[str]:
        """Return the ids of the books that the run left because of its limit or a stop."""
        left = set(self.plan.over_limit)
        if self.progress.stop_reason:
            todo = {book.book_id for book in self.plan.todo}
            left |= todo - self.results.done - self.results.failed
        return left

    def find_imbalances(self) -> list[str]:
        """Return what is wrong with the run's books, one line each; see `find_imbalances`."""
        plan, results = self.plan, self.results
        return find_imbalances(plan.listed, plan.skipped, results.done, results.failed, self.left)

    def write_to(self, record: RunRecord) -> None:
        """Set the numbers of a run's record."""
        plan, results, progress = self.plan, self.results, self.progress
        record.status, record.reason = (
            ("stopped" if progress.stop_reason else "done"),
            progress.stop_reason,
        )
        record.listed, record.skipped = len(plan.listed), len(plan.skipped)
        record.known_failures = len(plan.known_failures)
        done = len(results.done)
        record.indexed, record.finished = (0, done) if self.index is None else (done, 0)
        record.failed, record.left = len(results.failed), len(self.left)
        record.degraded, record.removed = results.degraded, self.deletions.deleted
        record.renames_waiting = self.deletions.waiting
        record.unlisted_folders, record.unseen = self.unlisted_folders, self.unseen
        record.model_calls, record.cached_calls = progress.model_calls, progress.cached_calls
        record.input_tokens, record.output_tokens = progress.input_tokens, progress.output_tokens
        record.usd = round(progress.usd, 6)
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
