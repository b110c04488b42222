"""One run, from the listing to the record. No Hydra in here: a `Job` comes in."""

from __future__ import annotations

import logging
import platform
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from raypipe import __version__
from raypipe.coordination.run_coordinator import Progress
from raypipe.core.book import Book
from raypipe.core.errors import SetupError
from raypipe.ledger import run_records as runs
from raypipe.ledger.ledger import RunResults
from raypipe.ledger.run_records import RunRecord
from raypipe.ledger.writer_lock import WriterLock
from raypipe.lifecycle import deletions as departed
from raypipe.lifecycle.deletions import DeletedBooks
from raypipe.lifecycle.promote import Promoter, Served
from raypipe.opensearch.index import Index, IndexAlias, IndexSpec
from raypipe.run.job import Checked, Job, Timer
from raypipe.run.pending import list_source, plan_from_ledger
from raypipe.run.planner import RunPlan
from raypipe.sources.finished_documents import FinishedDocumentSource
from raypipe.state.store import state_id

log = logging.getLogger(__name__)

_SHOWN = 5


@dataclass(frozen=True)
class Outcome:
    """What became of a run: sets of ids, each from its own source, and the numbers."""

    plan: RunPlan
    results: RunResults
    progress: Progress
    handle: Index | None
    served: Served | None = None
    removed: int = 0

    @property
    def left(self) -> set[str]:
        """Return the books that the run knows it did not come to, from a limit or a stop."""
        left = set(self.plan.over_limit)
        if self.progress.stop_reason:
            settled = self.results.done | self.results.failed
            left |= {book.book_id for book in self.plan.todo} - settled
        return left


def run(job: Job, claim: WriterLock, config: Mapping[str, Any]) -> RunRecord:
    """Run the job under its claim and keep its record.

    Args:
        job: What to do.
        claim: The claim on the job's state; its number is the run's.
        config: The configuration, for the record; secrets are taken out of it.

    Returns:
        The record, saved.

    Raises:
        SetupError: Something makes every book fail, or the books do not balance.
    """
    record = RunRecord(runs.run_id(claim.run_seq), claim.run_seq, versions=_versions())
    record.started_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    try:
        with ExitStack() as stack:
            return _run(job, claim, config, record, stack)
    except SetupError as error:
        record.status, record.exit_code, record.reason = "error", 1, str(error)
        with suppress(SetupError):  # a state that cannot be written is told by the first error
            record.save(job.ledger.state)
        raise


def _run(
    job: Job, claim: WriterLock, config: Mapping[str, Any], record: RunRecord, stack: ExitStack
) -> RunRecord:
    began, timer = time.monotonic(), Timer()
    outcome = _execute(job, claim, timer, stack)
    _fill(record, outcome)
    if outcome.plan.todo:
        with timer.step("compaction"):
            job.ledger.compact(job.recipe.document)
        runs.save_config(job.ledger.state, record.run_id, config)
    record.stage_seconds = timer.seconds
    record.seconds = round(time.monotonic() - began, 3)
    problems = _balance(outcome)
    if problems:
        raise SetupError(f"the books of run {record.run_id} do not balance: {'; '.join(problems)}")
    record.save(job.ledger.state)
    return record


def _execute(job: Job, claim: WriterLock, timer: Timer, stack: ExitStack) -> Outcome:
    """List, plan, run the graph, and read back what the ledger says of it."""
    handle, books, gone = _prepared(job, timer)
    departed.restore_returned(gone, job, claim.run_seq)
    with timer.step("planning"):
        todo = plan_from_ledger(job, books, handle.ref.generation if handle else None)
    _say(todo, gone)
    progress = Progress()
    if handle and not handle.ref.served and len(todo.todo) >= job.life.tune_from:
        handle.apply_load_settings()
    if todo.todo:
        progress = _graph(job, claim, todo, handle, timer, stack)
    with timer.step("closing"):
        finished_recipe = job.recipe.document if handle is None else ""
        results = RunResults()
        if todo.todo:
            results = job.ledger.read_back(claim.run_seq, finished_recipe)
        # Last of all: what was renamed is found under its new name before the old one goes.
        removed = {} if progress.stop_reason else gone.gone
        if removed:
            departed.apply_deletions(gone, job, handle, claim.run_seq)
        if handle is not None:
            handle.finalize(results.done, claim.run_seq, stopped=bool(progress.stop_reason))
        served = _served(job, todo, handle, claim.run_seq, stopped=bool(progress.stop_reason))
    return Outcome(todo, results, progress, handle, served, len(removed))


def _served(
    job: Job, todo: RunPlan, handle: Index | None, run_seq: int, *, stopped: bool
) -> Served | None:
    """Serve an index that was built, if it is whole; None = it was served all the time."""
    if handle is None or handle.ref.served or job.index is None:
        return None
    promotion = Promoter(IndexAlias(job.index), job.ledger.state, job.life, run_seq)
    if stopped:
        return promotion.now()
    # What `index` lists is what is finished: a book that is not among it may still be there.
    finished = isinstance(job.store, FinishedDocumentSource)
    listed = todo.listed if job.only is None and not finished else None
    served = promotion.promote(handle, listed=listed)
    if served.lacking:
        log.warning(
            "%s lacks %s books that %s has, and is not served yet (%s); run again for them, or "
            "serve it without them: raypipe promote force=true",
            handle.ref.physical,
            f"{len(served.lacking):,}",
            served.index,
            ", ".join(served.lacking[:_SHOWN]),
        )
    return served


def _prepared(job: Job, timer: Timer) -> tuple[Index | None, list[Book], DeletedBooks]:
    """Return the index, the books and those gone; nothing is deleted before they are known."""
    with timer.step("index"):
        handle = None if job.purge else _index(job)
        if job.purge and job.index is not None:
            IndexAlias(
                job.index
            ).find()  # a server that cannot be used is told before a long listing
    with timer.step("listing"):
        books = list_source(job)
    with timer.step("planning"):
        gone = departed.find_deleted(job, books)
        departed.check_deletions(gone, job)
    if job.purge:
        with timer.step("index"):
            handle = _index(job)
    return handle, books, gone


def _index(job: Job) -> Index | None:
    if job.index is None:
        return None
    alias = IndexAlias(job.index)
    alias.check_options(job.life)
    contents = IndexSpec(
        dimension=job.embedder.dimension,
        embedder=job.embedder.identity(),
        state=state_id(job.ledger.state),
        recipe=job.recipe.document,
    )
    if job.purge:
        handle = alias.purge(contents, adopt=job.adopt)
        alias.drop_build(contents.state)
    else:
        handle = alias.open(contents, mode=job.life.mode, adopt=job.adopt)
    if not handle.ref.require_alias:
        log.info("%s is a concrete index, not an alias: used in place", handle.ref.physical)
    return handle


def _say(todo: RunPlan, gone: DeletedBooks) -> None:
    log.info(
        "listed %s · done before %s · known failures %s · finished, to index %s · to read %s%s%s",
        f"{len(todo.listed):,}",
        f"{len(todo.processed):,}",
        f"{len(todo.known_failures):,}",
        f"{len(todo.ready):,}",
        f"{len(todo.new):,}",
        f" · over the limit {len(todo.over_limit):,}" if todo.over_limit else "",
        f" · gone {len(gone.gone):,}" if gone.gone else "",
    )
    if not todo.todo:
        log.info("nothing to do: no book is read, no model is called, Ray is not started")


def _graph(
    job: Job,
    claim: WriterLock,
    todo: RunPlan,
    handle: Index | None,
    timer: Timer,
    stack: ExitStack,
) -> Progress:
    """Check what every book needs, then start Ray and bring the books through."""
    needed = _needed(job, todo)
    with timer.step("checks"):
        for part in needed:
            part.check()
    # Ray takes a second to import: a run with nothing to do must not pay for it.
    from raypipe.run.executors.ray import execute

    run_id = runs.run_id(claim.run_seq)
    return execute(job, todo.todo, needed, handle, run_id, claim.run_seq, claim.lost, timer, stack)


def _needed(job: Job, todo: RunPlan) -> list[Checked]:
    """Return the parts without which every book of the plan would fail."""
    needed: list[Checked] = [job.ledger.state]
    if todo.new:
        needed += [job.store, job.summarizer]
    whole = f"{job.recipe.document}/"
    if not all(book.part.startswith(whole) for book in todo.todo):
        needed.append(job.embedder)
    return needed


def _fill(record: RunRecord, outcome: Outcome) -> None:
    """Put a run's numbers into its record."""
    todo, progress, handle = outcome.plan, outcome.progress, outcome.handle
    done = len(outcome.results.done)
    record.status, record.reason = (
        ("stopped" if progress.stop_reason else "done"),
        progress.stop_reason,
    )
    failed = outcome.results.failed or outcome.results.degraded
    record.exit_code = 4 if progress.stop_reason else 3 if failed else 0
    record.listed, record.skipped = len(todo.listed), len(todo.skipped)
    record.known_failures = len(todo.known_failures)
    record.indexed, record.finished = (0, done) if handle is None else (done, 0)
    record.failed, record.left = len(outcome.results.failed), len(outcome.left)
    record.degraded, record.removed = outcome.results.degraded, outcome.removed
    record.model_calls, record.cached_calls = progress.model_calls, progress.cached_calls
    record.usd = round(progress.usd, 6)
    record.input_tokens, record.output_tokens = progress.input_tokens, progress.output_tokens
    if handle is not None:
        record.index, record.generation = handle.ref.physical, handle.ref.generation
        record.served = handle.ref.physical if handle.ref.served else ""
    if outcome.served is not None:
        record.served, record.lacking = outcome.served.index, len(outcome.served.lacking)
        if record.lacking and not record.left and record.exit_code == 0:
            record.exit_code = 3  # known failures keep it from being served


def _balance(outcome: Outcome) -> list[str]:
    todo = outcome.plan
    results = outcome.results
    return runs.balance(todo.listed, todo.skipped, results.done, results.failed, outcome.left)


def _versions() -> dict[str, str]:
    found = {"raypipe": __version__, "python": platform.python_version()}
    for package in ("ray", "pyarrow", "opensearch-py"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
