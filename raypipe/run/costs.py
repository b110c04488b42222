"""Connect the models of a run to their quota and budget, and track what their calls cost."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from raypipe.coordination.counts import ModelUsage, Progress
from raypipe.coordination.progress import ProgressSource
from raypipe.core.options import BudgetOptions, QuotaOptions
from raypipe.ledger.usage import mark_run, usage_by_model
from raypipe.models.context import Billing, ModelContext, PaidModel, billing_of
from raypipe.quota.budget import Cost
from raypipe.quota.call_size import check_call_fits
from raypipe.quota.messages import RunRegistration
from raypipe.quota.prices import Price, Prices
from raypipe.quota.protocol import RunQuota, Totals
from raypipe.run.job import ModelLimits
from raypipe.run.processing import Processing
from raypipe.state.store import State

log = logging.getLogger(__name__)

ConnectQuota = Callable[[str, QuotaOptions, RunRegistration], RunQuota]
"""Return a run's client of a pool, by the pool's name, its quota and the run."""

_SUMMED = (
    *("calls", "throttled", "unknown", "input_tokens", "output_tokens", "usd"),
    *("in_flight", "cached_calls", "retries"),
)


@dataclass
class CostTracker:
    """Add up the model calls of a run over all quota pools.

    Args:
        quotas: The quota client of each pool that the run calls.
        billings: How the calls of each pool are billed, in the order of `quotas`.
        budget: The run's budget.
        spent_before: What earlier runs spent of the budget.
    """

    quotas: Sequence[RunQuota] = ()
    budget: BudgetOptions = field(default_factory=BudgetOptions)
    spent_before: Cost = field(default_factory=Cost)
    billings: Sequence[Billing] = ()

    def totals(self) -> Totals:
        """Return the numbers of all pools together."""
        return self.add_up([quota.totals() for quota in self.quotas])

    def add_up(self, pools: Sequence[Totals]) -> Totals:
        """Return the sum of the numbers of each pool."""
        sums = {name: sum(getattr(pool, name) for pool in pools) for name in _SUMMED}
        rates = [pool.tokens_per_minute for pool in pools if pool.tokens_per_minute is not None]
        paused = next((pool.paused for pool in pools if pool.paused), "")
        return Totals(**sums, tokens_per_minute=rates[0] if rates else None, paused=paused)

    def by_model(self, pools: Sequence[Totals]) -> tuple[ModelUsage, ...]:
        """Return what the calls of each model used, from the numbers of each pool."""
        return tuple(
            ModelUsage(
                billing.model,
                billing.tier,
                pool.calls,
                pool.cached_calls,
                pool.input_tokens,
                pool.output_tokens,
                round(pool.usd, 6),
            )
            for billing, pool in zip(self.billings, pools, strict=True)
        )

    def budget_stop_reason(self, totals: Totals) -> str:
        """Return why the run stops if the pools together exceed the budget, or ''.

        Each pool keeps the whole budget by itself.
        """
        budget = self.budget
        usd = self.spent_before.usd + totals.usd
        tokens = self.spent_before.tokens + totals.input_tokens + totals.output_tokens
        if budget.max_usd is not None and usd > budget.max_usd:
            return f"${usd:.4f} of budget.max_usd={budget.max_usd:g} are spent"
        if budget.max_tokens is not None and tokens > budget.max_tokens:
            return f"{tokens:,} tokens of budget.max_tokens={budget.max_tokens} are spent"
        return ""

    def stop(self, reason: str) -> None:
        """Let no further model call begin."""
        for quota in self.quotas:
            quota.stop(reason)


@dataclass
class CostAwareCoordinator:
    """The run's coordinator for the watcher, with the costs of model calls added.

    Args:
        coordinator: The run's coordinator.
        costs: What the model calls cost.
    """

    coordinator: ProgressSource
    costs: CostTracker
    _calls_stopped: bool = False
    _paused: str = ""

    def progress(self) -> Progress:
        """Return the run's numbers; stop the run at its budget, and the calls with the run."""
        progress = self.coordinator.progress()
        if not self.costs.quotas:
            return progress
        pools = [quota.totals() for quota in self.costs.quotas]
        totals = self.costs.add_up(pools)
        if not progress.stop_reason and (reason := self.costs.budget_stop_reason(totals)):
            self.coordinator.stop(reason)
        if progress.stop_reason and not self._calls_stopped:
            self._calls_stopped = True
            self.costs.stop(progress.stop_reason)
        if totals.paused != self._paused:
            self._paused = totals.paused
            log.warning("%s", totals.paused or "model calls go on again")
        return replace(
            progress,
            model_calls=totals.calls,
            cached_calls=totals.cached_calls,
            input_tokens=totals.input_tokens,
            output_tokens=totals.output_tokens,
            usd=totals.usd,
            models=self.costs.by_model(pools),
            throttled=totals.throttled,
            model_retries=totals.retries,
            in_flight=totals.in_flight,
            tokens_per_minute=totals.tokens_per_minute,
            paused=totals.paused,
            budget_usd=self.costs.budget.max_usd,
            budget_spent=self.costs.spent_before.usd + totals.usd,
        )

    def stop(self, reason: str) -> None:
        """Let nothing new begin."""
        self.coordinator.stop(reason)


@dataclass(frozen=True)
class CostCheck:
    """The check of quota and budget before the first book.

    Args:
        processing: The parts that call models.
        limits: Quota, budget and prices.
    """

    processing: Processing
    limits: ModelLimits

    def check(self) -> None:
        """Check that the quota can hold a call, and that a budget in dollars has all prices.

        Raises:
            SetupError: The quota can never hold a call, or the price table lacks a model although
                the budget is in dollars.
        """
        limits, estimator = self.limits, self.processing.summarizer.call_estimator
        if estimator is not None:
            check_call_fits(limits.quota, estimator.typical_call())
        if limits.budget.max_usd is not None:
            for model in _paid_models(self.processing):
                billing = billing_of(model)
                limits.prices.require(billing.model, billing.tier)


@contextmanager
def connect_models(
    processing: Processing,
    limits: ModelLimits,
    state: State,
    run_id: str,
    run_seq: int,
    connect_quota: ConnectQuota,
) -> Iterator[tuple[Processing, CostTracker]]:
    """Give the parts that call models the run's answer cache, quota and budget.

    Args:
        processing: The parts of the run.
        limits: Quota, budget and prices.
        state: Where answers are cached.
        run_id: Id of the run.
        run_seq: Number of the run.
        connect_quota: Finds or starts the broker of a pool.

    Yields:
        The connected parts, and the tracker of their costs.

    Raises:
        SetupError: The price table lacks a model although the budget is in dollars.
    """
    models = _paid_models(processing)
    if not models:
        yield processing, CostTracker(budget=limits.budget)
        return
    mark_run(state, run_seq)
    spent_before = _read_spent_before(limits.budget, limits.prices, state, run_seq)
    summarizing = processing.summarizer.paid_model
    quotas: dict[str, RunQuota] = {}
    for model in models:
        # A summary is a few hundred tokens: a run never waits for the embedder's own quota.
        is_limiting = summarizing is not None and model.pool == summarizing.pool
        registration = RunRegistration(
            quota_run_id(state, run_id), _price(model, limits), limits.budget, spent_before
        )
        pool, quota = _pool_quota(model, limits.quota, is_limiting=is_limiting)
        quotas[model.pool] = connect_quota(pool, quota, registration)
    context = ModelContext(state, quotas, limits.quota.max_in_flight, limits.prices)
    connected = replace(
        processing,
        summarizer=processing.summarizer.with_context(context),
        embedder=processing.embedder.with_context(context),
    )
    billings = {model.pool: billing_of(model) for model in models}
    yield (
        connected,
        CostTracker(list(quotas.values()), limits.budget, spent_before, list(billings.values())),
    )


def quota_run_id(state: State, run_id: str) -> str:
    """Return the id of a run among the runs that share a quota.

    The first runs of two states have the same id if they start in the same second.
    """
    return f"{run_id} of {state.uri}"


def _read_spent_before(budget: BudgetOptions, prices: Prices, state: State, run_seq: int) -> Cost:
    """Return what earlier runs spent of the budget, from the usage that the state records."""
    if budget.scope == "run" or (budget.max_usd is None and budget.max_tokens is None):
        return Cost()
    total = Cost()
    for usage in usage_by_model(state, run_seq):
        find = prices.find if budget.max_usd is None else prices.require
        price = find(usage.model, usage.tier)
        usd = price.usd(usage.input_tokens, usage.output_tokens) if price else 0.0
        total += Cost(usd, usage.input_tokens + usage.output_tokens)
    return total


def _price(model: PaidModel, limits: ModelLimits) -> Price:
    billing = billing_of(model)
    if limits.budget.max_usd is not None:
        return limits.prices.require(billing.model, billing.tier)
    price = limits.prices.find(billing.model, billing.tier)
    if price is None:
        log.warning("conf/prices has no price of %s: its dollars are not counted", billing)
    return price or Price(burndown=limits.prices.burndown(billing.model))


def _pool_quota(
    model: PaidModel, quota: QuotaOptions, *, is_limiting: bool
) -> tuple[str, QuotaOptions]:
    """Return the name of a model's pool, and the quota of the pool."""
    if not is_limiting:
        quota = replace(
            quota, tokens_per_minute=None, requests_per_minute=None, tokens_per_day=None
        )
    return f"{quota.account}/{model.pool}" if quota.account else model.pool, quota


def _paid_models(processing: Processing) -> list[PaidModel]:
    models = (processing.summarizer.paid_model, processing.embedder.paid_model)
    return [model for model in models if model is not None]
