"""The models of a run: their quota and budget, and what their calls came to."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from raypipe.coordination.progress import ProgressSource
from raypipe.coordination.run_coordinator import Progress
from raypipe.core.options import BudgetOptions
from raypipe.ledger.usage import usage_by_model
from raypipe.models.context import ModelContext, PaidModel
from raypipe.quota.actor import RemoteQuotaClient, RunRegistration, broker_for
from raypipe.quota.budget import Cost
from raypipe.quota.prices import Price
from raypipe.quota.protocol import Totals
from raypipe.quota.reservation import check_call_fits
from raypipe.run.job import Job

log = logging.getLogger(__name__)


@dataclass
class CostTracker:
    """What the model calls of a run come to, over all pools.

    Args:
        permits: Of each pool that the run calls.
        budget: The run's budget.
        already: What was spent before and counts.
    """

    permits: Sequence[RemoteQuotaClient] = ()
    budget: BudgetOptions = field(default_factory=BudgetOptions)
    already: Cost = field(default_factory=Cost)

    def totals(self) -> Totals:
        """Return the numbers of all pools together."""
        found = [one.totals() for one in self.permits]
        summed = ("calls", "throttled", "unknown", "input_tokens", "output_tokens", "usd")
        sums = {
            name: sum(getattr(one, name) for one in found)
            for name in (*summed, "in_flight", "cached_calls")
        }
        rates = [one.tokens_per_minute for one in found if one.tokens_per_minute is not None]
        paused = next((one.paused for one in found if one.paused), "")
        return Totals(**sums, tokens_per_minute=rates[0] if rates else None, paused=paused)

    def over(self, totals: Totals) -> str:
        """Say that the pools together came to the budget, which each of them keeps by itself."""
        usd = self.already.usd + totals.usd
        tokens = self.already.tokens + totals.input_tokens + totals.output_tokens
        if self.budget.max_usd is not None and usd > self.budget.max_usd:
            return f"${usd:.4f} of budget.max_usd={self.budget.max_usd:g} are spent"
        if self.budget.max_tokens is not None and tokens > self.budget.max_tokens:
            return f"{tokens:,} tokens of budget.max_tokens={self.budget.max_tokens} are spent"
        return ""

    def stop(self, reason: str) -> None:
        """Let no further call begin."""
        for one in self.permits:
            one.stop(reason)


@dataclass
class CostAwareCoordinator:
    """A run's monitor as its watcher sees it: with the calls of its models, and their stop."""

    monitor: ProgressSource
    spending: CostTracker
    _stopped: bool = False
    _paused: str = ""

    def progress(self) -> Progress:
        """Return the numbers so far; a stop is carried to the models' calls."""
        progress = self.monitor.progress()
        if not self.spending.permits:
            return progress
        totals = self.spending.totals()
        if not progress.stop_reason and (over := self.spending.over(totals)):
            self.monitor.stop(over)
        if progress.stop_reason and not self._stopped:
            self._stopped = True
            self.spending.stop(progress.stop_reason)
        if totals.paused != self._paused:
            self._paused = totals.paused
            log.warning("%s", totals.paused or "the models answer again")
        return replace(
            progress,
            model_calls=totals.calls,
            cached_calls=totals.cached_calls,
            input_tokens=totals.input_tokens,
            output_tokens=totals.output_tokens,
            usd=totals.usd,
        )

    def stop(self, reason: str) -> None:
        """Let nothing new begin."""
        self.monitor.stop(reason)


def check_costs(job: Job) -> None:
    """Check, before anything is started, that quota and budget can hold a call.

    Raises:
        SetupError: The quota is below one call's reservation, or a budget in dollars has a model
            without a price.
    """
    estimator = job.summarizer.call_estimator
    if estimator is not None:
        check_call_fits(job.quota, estimator.typical_call())
    if job.budget.max_usd is not None:
        for model in _paid_models(job):
            job.prices.needed(model.base_model)


@contextmanager
def open_model_context(job: Job, run_id: str, run_seq: int) -> Iterator[tuple[Job, CostTracker]]:
    """Give the parts that call models their cache, quota and budget.

    Args:
        job: The job.
        run_id: The run's id.
        run_seq: Its number.

    Raises:
        SetupError: A budget in dollars, and a model without a price.
    """
    paid_models = _paid_models(job)
    if not paid_models:
        yield job, CostTracker(budget=job.budget)
        return
    already = spent_before(job, run_seq)
    chat_model = job.summarizer.paid_model
    chat_pool = chat_model.pool if chat_model is not None else ""
    permits = {
        model.pool: _permits(job, model, already, run_id, known=model.pool == chat_pool)
        for model in paid_models
    }
    context = ModelContext(job.ledger.state, permits, job.quota.max_in_flight)
    with_context = replace(
        job,
        summarizer=job.summarizer.with_context(context),
        embedder=job.embedder.with_context(context),
    )
    yield with_context, CostTracker(list(permits.values()), job.budget, already)


def spent_before(job: Job, run_seq: int) -> Cost:
    """Return what counts of the budget already, from the usage in the cache.

    Raises:
        SetupError: A budget in dollars, and a model without a price.
    """
    budget = job.budget
    if budget.scope == "run" or (budget.max_usd is None and budget.max_tokens is None):
        return Cost()
    total = Cost()
    for one in usage_by_model(job.ledger.state, run_seq):
        price = job.prices.of(one.model) if budget.max_usd is None else job.prices.needed(one.model)
        usd = price.usd(one.input_tokens, one.output_tokens) if price else 0.0
        total += Cost(usd, one.input_tokens + one.output_tokens)
    return total


def _permits(
    job: Job, model: PaidModel, already: Cost, run_id: str, *, known: bool
) -> RemoteQuotaClient:
    price = (
        job.prices.needed(model.base_model)
        if job.budget.max_usd is not None
        else job.prices.of(model.base_model)
    )
    quota = job.quota
    if not known:
        # A summary is a few hundred tokens: its own quota is never what a run waits for.
        quota = replace(
            quota, tokens_per_minute=None, requests_per_minute=None, tokens_per_day=None
        )
    if price is None:
        log.warning("%s has no price in conf/prices: dollars are not counted", model.base_model)
        price = Price()
    joining = RunRegistration(run_id, price, job.budget, already)
    return broker_for(_pool(job, model), quota, joining)


def _pool(job: Job, model: PaidModel) -> str:
    return f"{job.quota.account}/{model.pool}" if job.quota.account else model.pool


def _paid_models(job: Job) -> list[PaidModel]:
    models = (job.summarizer.paid_model, job.embedder.paid_model)
    return [model for model in models if model is not None]
