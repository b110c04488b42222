"""Tell what a run would do and cost, before it begins."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from omegaconf import DictConfig

from raypipe.cli.job_factory import build_listing_job
from raypipe.cli.local_services import start_local_services
from raypipe.config import build as config
from raypipe.core.options import QuotaOptions
from raypipe.embedded.services import Services
from raypipe.run.estimate import RunEstimate, estimate_run


def main(cfg: DictConfig) -> int:
    """Print the forecast; nothing is changed, and no claim is needed.

    Raises:
        SetupError: The books cannot be listed, or the server cannot be used.
        OptionError: A value is out of its range.
    """
    options = config.options(cfg)
    with Services(Path(options.embedded.data)) as services:
        start_local_services(cfg, services)
        job = build_listing_job(cfg, options)
        told = estimate_run(job, options.sample)
    if options.output == "json":
        print(json.dumps(dataclasses.asdict(told), ensure_ascii=False))
    else:
        print(_text(told, job.limits.quota))
    return 0


def _text(told: RunEstimate, quota: QuotaOptions) -> str:
    lines = [
        f"listed {told.listed:,} = done {told.done:,} + known failures {told.known_failures:,} + "
        f"finished, to index {told.ready:,} + new {told.new:,} + renamed {told.renamed:,} + "
        f"changed {told.changed:,} + to do again {told.again:,} + over the limit "
        f"{told.over_limit:,}"
    ]
    if told.removed or told.renamed:
        asks = "; the run asks for allow_deletes=true" if told.too_many else ""
        lines.append(f"removed {told.removed:,}: gone from the source, to be deleted{asks}")
    if not told.model:
        lines.append(f"models  none: summarizer={told.summarizer} computes on this side")
        return "\n".join(lines)
    lines.append(
        f"models  {told.model}: about {told.calls:,} calls, {told.input_tokens:,} tokens in, "
        f"{told.output_tokens:,} out (from {told.sampled:,} books that were read)"
    )
    if told.unfit:
        lines.append(f"        {told.unfit:,} of these would fail, and cost nothing")
    lines.append(f"cost    {_dollars(told)}")
    lines.append(f"time    {_time(told, quota)}")
    return "\n".join(lines)


def _dollars(told: RunEstimate) -> str:
    if told.usd is None:
        return f"unknown: conf/prices of {told.prices} has no price of {told.model}"
    return f"${told.usd:,.2f} by the prices of {told.prices}; answers in the cache cost nothing"


def _time(told: RunEstimate, quota: QuotaOptions) -> str:
    if told.hours is None:
        why = "give quota.tokens_per_minute" if quota.managed else "there is no quota"
        return f"unknown: {why}; {quota.max_in_flight} calls may be in flight"
    return f"{told.hours:,.1f} hours at the quota"
