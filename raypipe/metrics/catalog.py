"""The metrics of a run: their names, and their values at a moment.

Every metric comes from the progress that the driver reads of the run's coordinator, so workers
spend no time on metrics.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from raypipe.coordination.progress import Snapshot
from raypipe.coordination.stop_kinds import STOP_KINDS, stop_kind

PREFIX = "raypipe_"
RUN = "run_id"
"""The label of every metric, beside its own labels."""
RAY_PREFIX = "ray_"
"""Ray puts it before the names of all metrics that it exports."""

Kind = Literal["counter", "gauge"]


@dataclass(frozen=True)
class Metric:
    """A metric of a run.

    Args:
        name: Its name, which begins with `raypipe_`.
        kind: `counter` only grows during a run; `gauge` can go up and down.
        description: What it counts, with its unit.
        labels: Its labels, without `run_id`.
    """

    name: str
    kind: Kind
    description: str
    labels: tuple[str, ...] = ()

    @property
    def exported_name(self) -> str:
        """Return the name in Prometheus: Ray adds a prefix, and `_total` to a counter."""
        return f"{RAY_PREFIX}{self.name}{'_total' if self.kind == 'counter' else ''}"


def _counter(name: str, description: str, *labels: str) -> Metric:
    return Metric(f"{PREFIX}{name}", "counter", description, labels)


def _gauge(name: str, description: str, *labels: str) -> Metric:
    return Metric(f"{PREFIX}{name}", "gauge", description, labels)


BOOKS = _counter("books", "Books with a final outcome: done or failed", "outcome")
FAILURES = _counter("failures", "Failed books by kind", "kind")
STAGE_BOOKS = _counter("stage_books", "Books that came out of a stage", "stage")
STAGE_SECONDS = _counter("stage_seconds", "Working seconds of a stage, of all workers", "stage")
MODEL_CALLS = _counter("model_calls", "Answered calls that were sent to a model", "model")
CACHED_CALLS = _counter("cached_calls", "Answers that came from the cache", "model")
TOKENS = _counter("tokens", "Tokens of answered calls: input or output", "model", "direction")
COST = _counter("cost_dollars", "Cost of the calls in US dollars", "model")
THROTTLED = _counter("throttled_calls", "Calls that a server refused because of its quota")
RETRIES = _counter("retries", "Calls (part model) and documents (part index) sent again", "part")
BULK_REQUESTS = _counter("bulk_requests", "Bulk requests to OpenSearch")
BULK_DOCUMENTS = _counter("bulk_documents", "Documents in bulk requests, resent ones included")
RUNNING = _gauge("running", "1 while books are processed")
STOPPING = _gauge("stopping", "1 while the run stops: breaker, budget or stop", "reason")
BOOKS_TODO = _gauge("books_todo", "Books of the run")
BOOKS_LEFT = _gauge("books_left", "Books of the run without a final outcome")
ETA = _gauge("eta_seconds", "Seconds to the end of the run; absent if unknown")
IN_FLIGHT = _gauge("calls_in_flight", "Calls of models in flight")
QUOTA = _gauge("quota_tokens_per_minute", "Tokens per minute that the run tries to use")
QUOTA_SHARE = _gauge("quota_share", "Used share of this rate; above 1 after throttles")
BUDGET = _gauge("budget_dollars", "The budget in US dollars; absent without a budget")
BUDGET_SPENT = _gauge("budget_spent_dollars", "US dollars that count against the budget")
MEMORY = _gauge("memory_bytes", "Memory of raypipe and Ray on this machine; absent on a cluster")
CPU = _gauge("cpu_cores", "CPU cores of raypipe and Ray on this machine; absent on a cluster")

METRICS = tuple(value for value in list(globals().values()) if isinstance(value, Metric))
"""Every metric."""


@dataclass(frozen=True)
class Sample:
    """The value of a metric at a moment; the sum since the start of the run for a counter.

    Args:
        metric: The metric.
        value: The value.
        labels: The value of each label, without `run_id`.
    """

    metric: Metric
    value: float
    labels: Mapping[str, str] = field(default_factory=dict)


def read_samples(snapshot: Snapshot) -> Iterator[Sample]:
    """Yield the value of each metric; a metric whose value is unknown is left out.

    Args:
        snapshot: The state of the run.
    """
    progress = snapshot.progress
    yield Sample(BOOKS, progress.done, {"outcome": "done"})
    yield Sample(BOOKS, progress.failed, {"outcome": "failed"})
    for kind, books in progress.failures:
        yield Sample(FAILURES, books, {"kind": kind})
    for stage, books, _ in progress.stage_books:
        yield Sample(STAGE_BOOKS, books, {"stage": stage})
    for stage, seconds in progress.stage_seconds:
        yield Sample(STAGE_SECONDS, seconds, {"stage": stage})
    yield from _read_models(snapshot)
    yield Sample(THROTTLED, progress.throttled)
    yield Sample(RETRIES, progress.model_retries, {"part": "model"})
    yield Sample(RETRIES, progress.bulk_retries, {"part": "index"})
    yield Sample(BULK_REQUESTS, progress.bulk_requests)
    yield Sample(BULK_DOCUMENTS, progress.bulk_documents)
    yield from _read_gauges(snapshot)


def _read_models(snapshot: Snapshot) -> Iterator[Sample]:
    usages = snapshot.progress.models
    for name in dict.fromkeys(usage.model for usage in usages):  # a model may have several tiers
        model, same = {"model": name}, [usage for usage in usages if usage.model == name]
        yield Sample(MODEL_CALLS, sum(usage.calls for usage in same), model)
        yield Sample(CACHED_CALLS, sum(usage.cached_calls for usage in same), model)
        tokens = sum(usage.input_tokens for usage in same)
        yield Sample(TOKENS, tokens, {**model, "direction": "input"})
        tokens = sum(usage.output_tokens for usage in same)
        yield Sample(TOKENS, tokens, {**model, "direction": "output"})
        yield Sample(COST, sum(usage.usd for usage in same), model)


def _read_gauges(snapshot: Snapshot) -> Iterator[Sample]:
    progress, outlook = snapshot.progress, snapshot.outlook
    yield Sample(RUNNING, float(not snapshot.ended))
    reason = stop_kind(progress.stop_reason)
    for kind in STOP_KINDS:
        yield Sample(STOPPING, float(kind == reason), {"reason": kind})
    yield Sample(BOOKS_TODO, snapshot.total)
    yield Sample(BOOKS_LEFT, progress.books_left(snapshot.total))
    if outlook.eta_s is not None:
        yield Sample(ETA, outlook.eta_s)
    yield Sample(IN_FLIGHT, progress.in_flight)
    if progress.tokens_per_minute:
        yield Sample(QUOTA, progress.tokens_per_minute)
        yield Sample(QUOTA_SHARE, outlook.tokens_per_minute / progress.tokens_per_minute)
    if progress.budget_usd is not None:
        yield Sample(BUDGET, progress.budget_usd)
        yield Sample(BUDGET_SPENT, progress.budget_spent)
    if snapshot.usage is not None:
        yield Sample(MEMORY, snapshot.usage.memory)
        yield Sample(CPU, snapshot.usage.cpu)
