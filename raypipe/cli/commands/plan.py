"""Estimate what a run would do and cost, without starting it."""

from __future__ import annotations

import dataclasses

from omegaconf import DictConfig

from raypipe.cli.run_job import open_listing_job
from raypipe.config.build import read_options
from raypipe.core.exit_codes import OK
from raypipe.core.options import QuotaOptions
from raypipe.core.printable import join_lines, to_json
from raypipe.run.estimate import RunEstimate, estimate_run
from raypipe.run.request_estimate import RequestEstimate


def main(cfg: DictConfig) -> int:
    """Print the estimate; errors as `carry_out`."""
    options, estimate = read_options(cfg), carry_out(cfg)
    if options.output == "json":
        print(to_json(dataclasses.asdict(estimate)))
    else:
        print(_format_estimate(estimate, options.quota))
    return OK


def carry_out(cfg: DictConfig) -> RunEstimate:
    """Return the estimate. Nothing is changed, so no writer lock is needed.

    Raises:
        SetupError: The books cannot be listed, or the server cannot be used.
        OptionError: An option is out of range.
    """
    with open_listing_job(cfg, ["storage"]) as (job, options):
        return estimate_run(job, options.sample)


def _format_estimate(estimate: RunEstimate, quota: QuotaOptions) -> str:
    lines = [
        f"listed {estimate.listed:,} = done {estimate.done:,} + known failures "
        f"{estimate.known_failures:,} + finished, to index {estimate.ready:,} + new "
        f"{estimate.new:,} + renamed {estimate.renamed:,} + changed {estimate.changed:,} + to do "
        f"again {estimate.again:,} + over the limit {estimate.over_limit:,}"
    ]
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
    if not estimate.model:
        lines.append(f"models  no model calls: summarizer={estimate.summarizer} runs locally")
        return join_lines(lines)
    lines.append(
        f"models  {estimate.model}: about {estimate.calls:,} calls, {estimate.input_tokens:,} "
        f"tokens in, {estimate.output_tokens:,} out (estimated from {estimate.sampled:,} books)"
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
    usd = f"${requests.usd:,.2f}" if requests.usd >= 0.01 else f"${requests.usd:.4f}"
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
        usd = "" if upgrade.usd is None else f", ${upgrade.usd:,.2f}"
        hours = "" if upgrade.hours is None else f", {upgrade.hours:,.1f} hours at the quota"
        lines.append(
            f"older   {upgrade.documents:,} documents were made by an older raypipe and stay; "
            f"upgrade=true reads {upgrade.reads:,} books again: about {upgrade.calls:,} model "
            f"calls{usd}{hours}"
        )
    return lines


def _format_cost(estimate: RunEstimate) -> str:
    if estimate.usd is None:
        return f"unknown: conf/prices of {estimate.prices} has no price of {estimate.model}"
    return f"${estimate.usd:,.2f} at the prices of {estimate.prices}; cached answers cost nothing"


def _format_time(estimate: RunEstimate, quota: QuotaOptions) -> str:
    if estimate.hours is None:
        reason = "give quota.tokens_per_minute" if quota.managed else "there is no quota"
        return f"unknown: {reason}; at most {quota.max_in_flight} calls in flight"
    return f"{estimate.hours:,.1f} hours at the quota"
