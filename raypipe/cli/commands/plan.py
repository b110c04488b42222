"""Estimate what a run would do and cost, without starting it; a multirun prints one table."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from raypipe.cli.run_job import open_listing_job
from raypipe.config.build import read_options
from raypipe.core.exit_codes import OK
from raypipe.core.options import QuotaOptions
from raypipe.core.printable import join_lines, to_json
from raypipe.core.units import format_duration, format_table, format_usd
from raypipe.quota.prices import name_price
from raypipe.run.estimate import RunEstimate, estimate_run
from raypipe.run.request_estimate import RequestEstimate
from raypipe.sources.key_filter import describe_not_taken


@dataclasses.dataclass(frozen=True)
class _PlannedJob:
    """The estimate of a job of a multirun.

    Args:
        options: The options of the job, as they were typed.
        estimate: The estimate.
        quota: The quota of the models.
    """

    options: Sequence[str]
    estimate: RunEstimate
    quota: QuotaOptions


_ESCAPE = re.compile(r"\\(.)")
_jobs: list[_PlannedJob] = []
"""The jobs of a multirun so far; Hydra calls `main` once for each of them."""


def main(cfg: DictConfig) -> int:
    """Print the estimate; errors as `carry_out`. A multirun keeps it for `finish_multirun`."""
    options, estimate = read_options(cfg), carry_out(cfg)
    if options.output == "json":
        print(to_json(dataclasses.asdict(estimate)))
    elif HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN:
        # Hydra escapes the values of a sweep.
        typed = [_ESCAPE.sub(r"\1", text) for text in HydraConfig.get().overrides.task]
        _jobs.append(_PlannedJob(typed, estimate, options.quota))
    else:
        print(_format_estimate(estimate, options.quota))
    return OK


def finish_multirun() -> None:
    """Print the estimates of all jobs as one table."""
    jobs = [_jobs.pop(0) for _ in range(len(_jobs))]
    if jobs:
        print(_format_jobs(jobs))


def carry_out(cfg: DictConfig) -> RunEstimate:
    """Return the estimate. Nothing is changed, so no writer lock is needed.

    Raises:
        SetupError: The books cannot be listed, or the server cannot be used.
        OptionError: An option is out of range.
    """
    with open_listing_job(cfg, ["storage"]) as (job, options):
        return estimate_run(job, options.sample)


def _format_jobs(jobs: Sequence[_PlannedJob]) -> str:
    """Return the lines that all jobs share, a table of what differs, and other lines by job."""
    shared = [option for option in jobs[0].options if all(option in job.options for job in jobs)]
    labels = [
        " ".join(option for option in job.options if option not in shared) or "as given"
        for job in jobs
    ]
    texts = [_format_work(job.estimate) for job in jobs]
    lines = [line for line in texts[0] if all(line in text for text in texts)]
    rows: list[Sequence[str]] = [("options", "calls", "tokens in", "tokens out", "cost", "time")]
    for job, label in zip(jobs, labels, strict=True):
        estimate = job.estimate
        counts = (estimate.calls, estimate.input_tokens, estimate.output_tokens)
        seconds = None if estimate.hours is None else estimate.hours * 3600
        time = "unknown" if seconds is None else format_duration(seconds)
        numbers = [f"{count:,}" for count in counts]
        rows.append((label, *numbers, format_usd(estimate.usd), time if estimate.model else "-"))
    table = format_table(rows, texts=1)
    notes = [
        f"{label}: {line}"
        for label, text in zip(labels, texts, strict=True)
        for line in text
        if line not in lines
    ]
    prices = f"prices of {jobs[0].estimate.prices}; cached answers cost nothing"
    return join_lines([*lines, *table, *notes, prices])


def _format_work(estimate: RunEstimate) -> list[str]:
    """Return the lines about books, index and requests to S3."""
    lines = [
        f"listed {estimate.listed:,} = done {estimate.done:,} + known failures "
        f"{estimate.known_failures:,} + finished, to index {estimate.ready:,} + new "
        f"{estimate.new:,} + renamed {estimate.renamed:,} + changed {estimate.changed:,} + to do "
        f"again {estimate.again:,} + over the limit {estimate.over_limit:,}"
    ]
    if not_taken := describe_not_taken(estimate.not_taken):
        lines.append(f"listed {estimate.listed:,}, {not_taken}")
    if estimate.removed or estimate.renamed:
        needs_option = "; the run needs allow_deletes=true" if estimate.too_many else ""
        lines.append(
            f"removed {estimate.removed:,}: deleted from the source, to be deleted from the index"
            f"{needs_option}"
        )
    if estimate.unlisted_folders:
        lines.append(
            f"unseen {estimate.unseen:,}: finished books in folders that cannot be listed "
            f"({estimate.unlisted_folders:,}); the run keeps them"
        )
    lines += _format_changes(estimate)
    if (requests := estimate.requests) is not None:
        lines.append(_format_requests(requests, estimate.prices))
    return lines


def _format_estimate(estimate: RunEstimate, quota: QuotaOptions) -> str:
    lines = _format_work(estimate)
    if not estimate.model:
        lines.append(f"models  no model calls: summarizer={estimate.summarizer} runs locally")
        return join_lines(lines)
    lines.append(
        f"models  {name_price(estimate.model, estimate.service_tier)}: about "
        f"{estimate.calls:,} calls, "
        f"{estimate.input_tokens:,} tokens in, {estimate.output_tokens:,} out (estimated from "
        f"{estimate.sampled:,} books)"
    )
    if estimate.unfit:
        lines.append(f"        {estimate.unfit:,} of these books would fail, at no cost")
    lines.append(f"cost    {_format_cost(estimate)}")
    lines.append(f"time    {_format_time(estimate, quota)}")
    return join_lines(lines)


def _format_requests(requests: RequestEstimate, prices: str) -> str:
    """Return a line about the requests to S3."""
    lists = requests.source_lists + requests.state_lists
    gets = requests.source_gets + requests.state_gets
    usd = format_usd(requests.usd)
    return (
        f"s3      about {gets:,} GET, {requests.state_puts:,} PUT and {lists:,} LIST requests: "
        f"{usd} at the prices of {prices}; {requests.groups:,} groups of documents"
    )


def _format_changes(estimate: RunEstimate) -> list[str]:
    """Return lines about an index of other parts, and about documents of an older raypipe."""
    lines = []
    if (found := estimate.replaces) is not None:
        needs_option = "" if estimate.may_replace else "; the run needs replace=true"
        lines.append(
            f"replace {found.index}: its documents are by {found.summarizer} and {found.embedder} "
            f"({'; '.join(found.differences)}){needs_option}"
        )
    if (upgrade := estimate.upgrade) is not None:
        usd = "" if upgrade.usd is None else f", {format_usd(upgrade.usd)}"
        hours = ""
        if upgrade.hours is not None:
            hours = f", {format_duration(upgrade.hours * 3600)} at the quota"
        lines.append(
            f"older   {upgrade.documents:,} documents were made by an older raypipe and stay; "
            f"upgrade=true reads {upgrade.reads:,} books again: about {upgrade.calls:,} model "
            f"calls{usd}{hours}"
        )
    return lines


def _format_cost(estimate: RunEstimate) -> str:
    if estimate.usd is None:
        name = name_price(estimate.model, estimate.service_tier)
        return f"unknown: conf/prices of {estimate.prices} has no price of {name}"
    usd = format_usd(estimate.usd)
    return f"{usd} at the prices of {estimate.prices}; cached answers cost nothing"


def _format_time(estimate: RunEstimate, quota: QuotaOptions) -> str:
    if estimate.hours is None:
        reason = "give quota.tokens_per_minute" if quota.managed else "there is no quota"
        return f"unknown: {reason}; at most {quota.max_in_flight} calls in flight"
    return f"{format_duration(estimate.hours * 3600)} at the quota"
