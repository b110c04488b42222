"""Estimate what a run would do and cost; of the new books a sample is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pyarrow as pa
import pyarrow.compute as pc

from raypipe.core.book import Book
from raypipe.core.options import QuotaOptions
from raypipe.ledger.facade import Ledger
from raypipe.lifecycle.deleted_books import DeletedBooks
from raypipe.lifecycle.deletions import exceeds_limit, find_deleted
from raypipe.lifecycle.index_comparison import IndexDifferences, compare_with_ledger
from raypipe.lifecycle.replacement import Replacement
from raypipe.models.context import billing_of
from raypipe.run.call_estimate import CallTotals, estimate_calls
from raypipe.run.job import Job, ModelLimits
from raypipe.run.planner import RunPlan, plan_run, read_snapshot
from raypipe.run.processing import Processing, index_spec, own_recipes, read_accepted
from raypipe.run.request_estimate import RequestEstimate, estimate_job_requests
from raypipe.sources import BookSource
from raypipe.sources.listing import list_source
from raypipe.state.version_index import find_versions


@dataclass(frozen=True)
class UpgradeEstimate:
    """What `upgrade=true` would cost.

    Args:
        documents: Number of indexed documents that an older raypipe made.
        reads: Number of books to read.
        calls: Number of model calls.
        usd: Dollars; None if the price table lacks the model.
        hours: Hours at the quota; None if no quota is given.
    """

    documents: int
    reads: int
    calls: int
    usd: float | None
    hours: float | None


@dataclass
class RunEstimate:
    """What a run would do and cost.

    Args:
        listed: Number of listed books.
        new: Books to read that this state has never seen.
        renamed: Books to read with the ETag of a finished book that is gone; no model calls.
        changed: Books to read because they changed after they were finished or processed.
        again: Books to read again: retryable failures, or all with `checkpoint=none`.
        ready: Finished or summarized books: no GET.
        done: Processed books; the run skips them.
        known_failures: Permanent failures; the run skips them.
        over_limit: Books that the run leaves because of `limit`.
        removed: Finished books that are gone from the source and would be deleted.
        too_many: Whether `removed` exceeds `max_delete_fraction`: the run would stop.
        summarizer: Name of the summarizer.
        model: Model id or inference profile id; '' if no model is called.
        sampled: Number of books read for the estimate.
        unfit: Number of sampled books that would fail.
        calls: Number of model calls.
        input_tokens: Tokens of the requests.
        output_tokens: Tokens of the answers.
        usd: Dollars; None if the price table lacks the model or its service tier.
        hours: Hours at the quota; None if no quota is given.
        prices: Date of the price table.
        replaces: The index that another summarizer or embedder made, and that this run would
            replace.
        may_replace: Whether the run may replace it (`replace=true`); else it would stop.
        upgrade: What `upgrade=true` would cost; None if no document is older.
        requests: Requests to S3; None if neither source nor state are on S3.
        unlisted_folders: Number of folders that could not be listed.
        unseen: Finished books in these folders; the run keeps them.
        service_tier: Service tier of the model calls; '' if no model is called.
        not_taken: Number of listed keys that are no books, by ending or reason.
    """

    listed: int = 0
    new: int = 0
    renamed: int = 0
    changed: int = 0
    again: int = 0
    ready: int = 0
    done: int = 0
    known_failures: int = 0
    over_limit: int = 0
    removed: int = 0
    too_many: bool = False
    summarizer: str = ""
    model: str = ""
    sampled: int = 0
    unfit: int = 0
    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    usd: float | None = 0.0
    hours: float | None = None
    prices: str = ""
    replaces: Replacement | None = None
    may_replace: bool = False
    upgrade: UpgradeEstimate | None = None
    requests: RequestEstimate | None = None
    unlisted_folders: int = 0
    unseen: int = 0
    service_tier: str = ""
    not_taken: dict[str, int] = field(default_factory=dict)


def estimate_run(job: Job, sample: int = 50) -> RunEstimate:
    """Estimate what a job would do; state and index stay as they are.

    Args:
        job: The job.
        sample: Maximum number of books to read.

    Raises:
        SetupError: The books cannot be listed, or the server cannot be used.
    """
    source, processing, ledger, limits = job.source, job.processing, job.ledger, job.limits
    accepted = read_accepted(processing, ledger, upgrade=job.upgrade)
    spec = index_spec(processing.description, ledger, accepted, upgrade=job.upgrade)
    replaces = job.target.find_replacement(spec)
    if replaces is None or job.target.replace:
        job.target.check_usable(spec)  # otherwise the plan says that the run needs replace=true
    index = job.target.find()
    listing = list_source(source, job.selection.book_ids)
    books = listing.books
    differences = compare_with_ledger(index, ledger) if index else IndexDifferences()
    whole, unknown = job.selection.book_ids is None, differences.unknown.values()
    deleted = find_deleted(
        books, source, ledger, unknown, whole_source=whole, unlisted=listing.unlisted
    )
    generation = job.target.generation_to_write(index, spec)
    recipe = processing.recipe
    snapshot = read_snapshot(ledger, recipe, accepted.documents, generation, differences.lost)
    plan = plan_run(books, snapshot, job.selection)
    estimate = _count_books(plan, deleted, ledger)
    estimate.unlisted_folders, estimate.unseen = len(listing.unlisted), len(deleted.unseen)
    estimate.not_taken = dict(listing.not_taken)
    estimate.too_many = exceeds_limit(deleted, job.deletion_limit)
    estimate.summarizer = processing.summarizer.name
    estimate.replaces = replaces
    estimate.may_replace = job.target.replace
    estimate.prices = limits.prices.date
    _add_calls(estimate, plan.new, source, processing, limits, sample)
    estimate.requests = estimate_job_requests(job, plan, estimate.calls, estimate.hours)
    if generation:
        documents = ledger.checkpoint.count_older(generation, accepted.documents, recipe.document)
        if documents:
            own = own_recipes(recipe)
            snapshot = read_snapshot(ledger, recipe, own.documents, "")
            to_read = plan_run(books, snapshot, replace(job.selection, limit=None)).new
            upgrade = RunEstimate(new=len(to_read))
            _add_calls(upgrade, to_read, source, processing, limits, sample)
            estimate.upgrade = UpgradeEstimate(
                documents, len(to_read), upgrade.calls, upgrade.usd, upgrade.hours
            )
    return estimate


def _add_calls(
    estimate: RunEstimate,
    books: Sequence[Book],
    source: BookSource,
    processing: Processing,
    limits: ModelLimits,
    sample: int,
) -> None:
    """Set the numbers that depend on the texts of the books to read."""
    model, estimator = processing.summarizer.paid_model, processing.summarizer.call_estimator
    if model is None or estimator is None:
        return
    billing = billing_of(model)
    estimate.model, estimate.service_tier = billing.model, billing.tier
    totals = estimate_calls(books, source, processing.cleaner, estimator, sample)
    estimate.sampled, estimate.unfit = totals.sampled, totals.unfit
    _add_costs(estimate, totals, limits)


def _count_books(plan: RunPlan, deleted: DeletedBooks, ledger: Ledger) -> RunEstimate:
    """Return the numbers of books by what the run would do with them."""
    changed = again = 0
    if plan.new:
        versions = ["book_id", "etag"]
        seen = pa.concat_tables(
            [ledger.documents.all_versions(), ledger.checkpoint.read_latest(versions)]
        )
        is_seen = pc.is_in(plan.new.book_ids, value_set=seen["book_id"])
        seen_books = plan.new.table.filter(is_seen)
        unchanged = int((find_versions(seen, seen_books) >= 0).sum())
        never_seen = plan.new.table.filter(pc.invert(is_seen))
        failed_before = len(never_seen.filter(pc.greater(never_seen["attempts"], 0)))
        changed, again = len(seen_books) - unchanged, unchanged + failed_before
    renamed = min(len(deleted.renames), len(plan.new) - changed - again)
    return RunEstimate(
        listed=plan.listed,
        new=len(plan.new) - changed - again - renamed,
        renamed=renamed,
        changed=changed,
        again=again,
        ready=len(plan.ready),
        done=len(plan.processed),
        known_failures=len(plan.known_failures),
        over_limit=len(plan.over_limit),
        removed=deleted.removed,
    )


def _add_costs(estimate: RunEstimate, totals: CallTotals, limits: ModelLimits) -> None:
    """Set calls, tokens, dollars and hours."""
    estimate.calls = round(totals.calls)
    estimate.input_tokens = round(totals.input_tokens)
    estimate.output_tokens = round(totals.output_tokens)
    price = limits.prices.find(estimate.model, estimate.service_tier)
    if price is None:
        estimate.usd = None
    else:
        estimate.usd = round(price.usd(totals.input_tokens, totals.output_tokens), 4)
    estimate.hours = _hours(limits.quota, estimate, limits.prices.burndown(estimate.model))


def _hours(quota: QuotaOptions, estimate: RunEstimate, burndown: float) -> float | None:
    """Return the hours that the tightest limit of the quota needs; None if none is given."""
    if not quota.managed:
        return None
    tokens = estimate.input_tokens + burndown * estimate.output_tokens
    limits = [
        (tokens, quota.tokens_per_minute, 60.0),
        (estimate.calls, quota.requests_per_minute, 60.0),
        (tokens, quota.tokens_per_day, 1 / 24),
    ]
    hours = [need / (limit * per_hour) for need, limit, per_hour in limits if limit]
    return round(max(hours), 4) if hours else None
