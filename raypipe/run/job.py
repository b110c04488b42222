"""Describe a run: its parts and its options, grouped by who uses them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from raypipe.coordination.progress import ProgressLog, ProgressView
from raypipe.coordination.watchers import RunWatcher, end_watchers
from raypipe.core.options import BreakerOptions, BudgetOptions, QuotaOptions, RayOptions
from raypipe.core.stage_options import Stages
from raypipe.ledger.facade import Ledger
from raypipe.lifecycle.deleted_books import DeletionLimit
from raypipe.quota.prices import Prices
from raypipe.run.planner import BookSelection
from raypipe.run.processing import Processing
from raypipe.run.target import IndexTarget
from raypipe.sources import BookSource


@dataclass(frozen=True)
class Execution:
    """Where and how large the graph runs.

    Args:
        executor: `ray`, or `local` for threads of this process.
        stages: Sizes of the graph.
        ray: Where Ray runs.
        breaker: When the run stops because books fail.
        view: Shows the progress on the terminal; None logs lines.
        watchers: Follow the run, such as notifications and metrics.
    """

    executor: str = "ray"
    stages: Stages = field(default_factory=Stages)
    ray: RayOptions = field(default_factory=RayOptions)
    breaker: BreakerOptions = field(default_factory=BreakerOptions)
    view: ProgressView | None = None
    watchers: Sequence[RunWatcher] = ()

    def views(self, run_id: str) -> list[ProgressView]:
        """Return what shows the progress of a run: the terminal and the watchers."""
        return [self.view or ProgressLog(), *(each.follow(run_id) for each in self.watchers)]

    def report_end(self, record: Mapping[str, object]) -> None:
        """Report the end of the run to the watchers.

        Args:
            record: The fields of run.json.
        """
        end_watchers(self.watchers, record)


@dataclass(frozen=True)
class ModelLimits:
    """What model calls may take and cost.

    Args:
        quota: Limits of the models' account.
        budget: Maximum cost.
        prices: Price table.
    """

    quota: QuotaOptions = field(default_factory=QuotaOptions)
    budget: BudgetOptions = field(default_factory=BudgetOptions)
    prices: Prices = field(default_factory=Prices)


@dataclass(frozen=True)
class Job:
    """Everything that describes one run. `runner.run` unpacks it; others take what they use.

    Args:
        source: Where books are listed and read.
        processing: What turns a book into a document.
        ledger: What was processed before, and where this run records its results.
        target: The index that the run writes.
        selection: Which listed books the run processes.
        deletion_limit: How many books may disappear from the source without being asked about.
        execution: Where and how large the graph runs.
        limits: What model calls may take and cost.
        upgrade: Whether documents of older versions of raypipe are made again.
        config: The configuration, for the run's record.
    """

    source: BookSource
    processing: Processing
    ledger: Ledger
    target: IndexTarget
    selection: BookSelection = field(default_factory=BookSelection)
    deletion_limit: DeletionLimit = field(default_factory=DeletionLimit)
    execution: Execution = field(default_factory=Execution)
    limits: ModelLimits = field(default_factory=ModelLimits)
    upgrade: bool = False
    config: Mapping[str, object] = field(default_factory=dict)
