"""List the books, summarize and embed the new ones, index them."""

from __future__ import annotations

import dataclasses
import json
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from raypipe import config
from raypipe.claim import Claim
from raypipe.commands.endpoints import EMBEDDED, fill_endpoints
from raypipe.commands.hits import shown
from raypipe.embedded.services import Services
from raypipe.failures import explain
from raypipe.job import Job
from raypipe.opensearch.search import search
from raypipe.runner import run
from raypipe.runs import RunRecord
from raypipe.state import open_state


def main(cfg: DictConfig) -> int:
    """Run the job, print its numbers, and return its exit code.

    Raises:
        SetupError: Something makes every book fail; nothing was begun.
        OptionError: A value is out of its range.
    """
    options = config.options(cfg)
    on_samples = OmegaConf.select(cfg, "storage.endpoint_url") == EMBEDDED
    with Services(Path(options.embedded.data)) as services:
        fill_endpoints(cfg, services)
        job = _job(cfg, options)
        job.state.check()
        # Ray tells of workers that died on stdout; that is for what this command was asked for.
        with Claim.take(job.state) as claim, redirect_stdout(sys.stderr):
            record = run(job, claim, config.plain(cfg))
        if options.output == "json":
            print(json.dumps(dataclasses.asdict(record), ensure_ascii=False))
        else:
            print(_report(record, job))
            if on_samples and job.index is not None:
                _show_examples(job, options.examples)
    return record.exit_code or 0


def _job(cfg: DictConfig, options: Any) -> Job:
    store = config.required(cfg, "storage")
    state = open_state(options.state.uri, getattr(store, "connection", None))
    return Job(
        store=store,
        cleaner=config.required(cfg, "text"),
        summarizer=config.required(cfg, "summarizer"),
        embedder=config.required(cfg, "embedder"),
        index=config.build(cfg, "opensearch"),
        checkpoint=config.required(cfg, "checkpoint").at(state),
        state=state,
        stages=options.stages,
        breaker=options.breaker,
        ray=options.ray,
        limit=options.limit,
        purge=options.purge,
        adopt=options.adopt,
        max_attempts=options.max_attempts,
    )


def _report(record: RunRecord, job: Job) -> str:
    """Return the counts and where things are."""
    lines = [
        f"listed {record.listed:,} = skipped {record.skipped:,} + indexed {record.indexed:,}"
        + (f" (finished {record.finished:,})" if job.index is None else "")
        + f" + failed {record.failed:,} + left {record.left:,}"
        f"   in {record.seconds:.1f} s, {record.model_calls:,} model calls",
    ]
    if record.reason:
        lines.append(f"stopped {record.reason}; run again to go on")
    if record.failed or record.known_failures:
        lines += _failures(record, job)
    if job.index is not None:
        where = f"{job.index.index} -> {record.index} at {job.index.connection.endpoint}"
        lines.append(f"index   {where}")
    lines.append(f"state   {job.state.uri} (runs/{record.run_id}/run.json)")
    lines.append(f"log     {Path('processing.log').absolute()}")
    return "\n".join(lines)


def _failures(record: RunRecord, job: Job) -> list[str]:
    """Return what failed in this run, kind by kind, with an example and the way out."""
    rows = job.failures.of_run(record.run_seq).to_pylist()
    by_kind: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_kind.setdefault(row["kind"], []).append(row)
    lines = [
        f"failed  {len(some):,} {kind}: {explain(kind)} (e.g. {some[0]['message']})"
        for kind, some in sorted(by_kind.items())
    ]
    if record.known_failures:
        lines.append(f"        {record.known_failures:,} known failures were not tried again")
    return lines


def _show_examples(job: Job, examples: list[str]) -> None:
    assert job.index is not None
    for query in examples:
        print(f'\nraypipe search "{query}"')
        print(shown(search(job.index, job.embedder, query, limit=3)))
