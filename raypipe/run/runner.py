"""Carry out a run: the steps from the listing to the record, one after another."""

from __future__ import annotations

import calendar
import logging
import platform
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version

from raypipe import __version__
from raypipe.coordination.counts import Progress
from raypipe.core import exit_codes
from raypipe.core.activity import activity
from raypipe.core.errors import SetupError
from raypipe.ledger import run_records
from raypipe.ledger.facade import RunResults
from raypipe.ledger.run_records import RunRecord
from raypipe.ledger.writer_lock import WriterLock
from raypipe.lifecycle.deleted_books import DeletedBooks, Deletions
from raypipe.lifecycle.deletions import (
    apply_deletions,
    check_deletions,
    find_deleted,
    restore_returned,
)
from raypipe.lifecycle.index_comparison import IndexDifferences, compare_with_ledger
from raypipe.opensearch.index import Index
from raypipe.run.costs import CostCheck
from raypipe.run.executors import create_executor
from raypipe.run.executors.base import ListenForStop, StopSources, no_stop_requests
from raypipe.run.job import Job
from raypipe.run.outcome import Outcome
from raypipe.run.planner import RunPlan, plan_run, read_snapshot
from raypipe.run.processing import (
    AcceptedRecipes,
    Processing,
    index_spec,
    read_accepted,
)
from raypipe.run.timer import StepTimer
from raypipe.run.work import Checkable, Work
from raypipe.sources import BookSource
from raypipe.sources.key_filter import describe_not_taken
from raypipe.sources.listing import list_source
from raypipe.state.store import State

log = logging.getLogger(__name__)

_TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"


def run(job: Job, lock: WriterLock, listen_for_stop: ListenForStop = no_stop_requests) -> RunRecord:
    """Run a job under its writer lock and save the run's record.

    It installs no signal handlers, and works in any thread. Where Ctrl-C raises
    `KeyboardInterrupt`, as in a notebook, the first while books are processed stops the run.

    Args:
        job: What to do.
        lock: The lock on the job's state; it holds the run's number.
        listen_for_stop: Listens for requests to stop while books are processed.

    Returns:
        The saved record.

    Raises:
        SetupError: Every book would fail, or the books of the run do not balance.
    """
    state = job.ledger.state
    record = RunRecord(run_records.run_id(lock.run_seq), lock.run_seq, versions=_versions())
    record.started_at = time.strftime(_TIME_FORMAT, time.gmtime())
    activity.run_id = record.run_id
    started, timer = time.monotonic(), StepTimer()
    try:
        # What the executor starts stays until the record is saved.
        with ExitStack() as stack:
            stop_sources = StopSources(lock.lost, listen_for_stop)
            outcome = _carry_out(job, lock, record, stop_sources, timer, stack)
            outcome.write_to(record)
            if outcome.plan.todo:
                with timer.step("compaction"):
                    job.ledger.compact(job.processing.recipe.document)
                run_records.save_config(state, record.run_id, job.config)
            record.stage_seconds = timer.seconds
            record.seconds = round(time.monotonic() - started, 3)
            if problems := outcome.find_imbalances():
                raise SetupError(
                    f"the books of run {record.run_id} do not balance: {'; '.join(problems)}"
                )
            record.save(state)
            return record
    except SetupError as error:
        record.status, record.exit_code, record.reason = "error", exit_codes.ERROR, str(error)
        with suppress(SetupError):  # if the state cannot be written, the first error says so
            record.save(state)
        raise
    finally:
        job.execution.report_end(asdict(record))


def _carry_out(
    job: Job,
    lock: WriterLock,
    record: RunRecord,
    stop_sources: StopSources,
    timer: StepTimer,
    stack: ExitStack,
) -> Outcome:
    """Take the steps of a run in order. Nothing is deleted before the listing is complete."""
    source, processing, ledger, target = job.source, job.processing, job.ledger, job.target
    recipe = processing.recipe
    accepted = read_accepted(processing, ledger, upgrade=job.upgrade)
    spec = index_spec(processing.description, ledger, accepted, upgrade=job.upgrade)

    with timer.step("index"):
        index = target.open_existing(spec)
        run_seq = _raise_run_seq(lock, record, target.current_indices(index))
    with timer.step("listing"):
        listing = list_source(source, job.selection.book_ids)
        books = listing.books
    with timer.step("planning"):
        differences = compare_with_ledger(index, ledger) if index else IndexDifferences()
        whole = job.selection.book_ids is None
        unknown = differences.unknown.values()
        deleted = find_deleted(
            books, source, ledger, unknown, whole_source=whole, unlisted=listing.unlisted
        )
        check_deletions(deleted, job.deletion_limit, source.selection, purge=target.purge)
    restore_returned(deleted, ledger, run_seq)
    with timer.step("planning"):
        generation = target.generation_to_write(index, spec)
        snapshot = read_snapshot(ledger, recipe, accepted.documents, generation, differences.lost)
        plan = plan_run(books, snapshot, job.selection)
    _log_plan(plan, deleted, describe_not_taken(listing.not_taken))
    if generation:
        _log_older(ledger.checkpoint.count_older(generation, accepted.documents, recipe.document))
    progress = Progress()
    costs = CostCheck(processing, job.limits)
    required = _required_parts(plan, source, processing, ledger.state, accepted)
    if required:
        with timer.step("checks"):
            costs.check()  # first: the check of a model is paid for
            for part in required:
                part.check()
            costs.check()  # the check of a model may find that answers need more room
    with timer.step("index"):
        index = index or target.open(spec)
    stack.enter_context(target.discard_if_unused(index))
    if index and not index.ref.served and len(plan.todo) >= target.options.tune_from:
        index.apply_load_settings()
    if plan.todo:
        for description in (processing.description, *accepted.undescribed):
            ledger.recipes.record(description)
        work = Work(
            plan.todo,
            source,
            processing,
            ledger,
            index,
            record.run_id,
            run_seq,
            required,
            accepted,
            plan.listed,
        )
        executor = create_executor(job.execution, job.limits)
        progress = executor.execute(work, stop_sources, timer, stack)

    with timer.step("closing"):
        stopped = bool(progress.stop_reason)
        results = RunResults()
        if plan.todo:
            results = ledger.read_back(run_seq, accepted.documents if index is None else ())
        # Last, so that a renamed book is found under its new name before the old one is deleted.
        deletions = Deletions()
        if not stopped:
            indices = target.current_indices(index)
            finished = results.done
            if not indices:
                finished = finished.union(plan.processed.to_pylist())
            deletions = apply_deletions(deleted, ledger, indices, run_seq, finished)
        served = None
        if index is not None:
            index.finalize(results.done, run_seq, stopped=stopped)
            listed = None
            if not index.ref.served and whole and source.lists_whole_source:
                # A renamed book is still at the source, and an unseen book may be: their documents
                # must not get lost either.
                listed = {*plan.listed_ids.to_pylist(), *deleted.renames, *deleted.unseen}
            served = target.serve(index, ledger, run_seq, listed=listed, stopped=stopped)
    unlisted, unseen = len(listing.unlisted), len(deleted.unseen)
    return Outcome(
        plan, results, progress, index, served, deletions, unlisted, unseen, listing.not_taken
    )


def _raise_run_seq(lock: WriterLock, record: RunRecord, indices: Sequence[Index]) -> int:
    """Return the number of the run, greater than every version in the indices that it writes."""
    highest = max(
        (index.highest_run_seq() for index in indices if not index.ref.created), default=0
    )
    if highest >= lock.run_seq:
        log.info(
            "run %s is run %s: the index holds documents of run %s, of another state or of a newer "
            "version of this state",
            lock.run_seq,
            highest + 1,
            highest,
        )
        record.run_seq = lock.raise_run_seq(highest + 1)
        started_at = calendar.timegm(time.strptime(record.started_at, _TIME_FORMAT))
        record.run_id = run_records.run_id(record.run_seq, started_at)
        activity.run_id = record.run_id
    return record.run_seq


def _required_parts(
    plan: RunPlan,
    source: BookSource,
    processing: Processing,
    state: State,
    accepted: AcceptedRecipes,
) -> list[Checkable]:
    """Return the parts without which every book of the plan would fail."""
    if not plan.todo:
        return []
    required: list[Checkable] = [state]
    if plan.new:
        required += [source, processing.summarizer]
    recipes = {part.partition("/")[0] for part in plan.todo.table["part"].unique().to_pylist()}
    if not recipes <= accepted.documents:
        required.append(processing.embedder)
    return required


def _log_older(older: int) -> None:
    if older:
        log.info(
            "%s of these documents were made by an older raypipe and stay as they are; "
            "`raypipe plan upgrade=true` shows what making them again costs",
            f"{older:,}",
        )


def _log_plan(plan: RunPlan, deleted: DeletedBooks, not_taken: str) -> None:
    if not_taken:
        log.info("listed %s, %s", f"{plan.listed:,}", not_taken)
    over_limit = f" · over the limit {len(plan.over_limit):,}" if plan.over_limit else ""
    unseen = (
        f" · in folders that cannot be listed {len(deleted.unseen):,}" if deleted.unseen else ""
    )
    gone = f" · deleted from the source {len(deleted.keys):,}" if deleted.keys else ""
    log.info(
        "listed %s · done before %s · known failures %s · finished, to index %s · to read %s%s%s%s",
        f"{plan.listed:,}",
        f"{len(plan.processed):,}",
        f"{len(plan.known_failures):,}",
        f"{len(plan.ready):,}",
        f"{len(plan.new):,}",
        over_limit,
        gone,
        unseen,
    )
    if not plan.todo:
        log.info("nothing to do: no book is read, no model is called, Ray is not started")


def _versions() -> dict[str, str]:
    versions = {"raypipe": __version__, "python": platform.python_version()}
    for package in ("ray", "pyarrow", "opensearch-py"):
        with suppress(PackageNotFoundError):
            versions[package] = version(package)
    return versions
