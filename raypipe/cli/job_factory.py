"""What `run`, `index` and `retry` share: a job from a config, carried out and reported."""

from __future__ import annotations

import dataclasses
import json
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, open_dict

from raypipe.config import build as config
from raypipe.ledger.checkpoint import CheckpointSettings
from raypipe.ledger.failures import explain
from raypipe.ledger.ledger import Ledger
from raypipe.ledger.run_records import RunRecord
from raypipe.ledger.writer_lock import WriterLock
from raypipe.run.job import Job
from raypipe.run.runner import run
from raypipe.sources.protocol import BookSource
from raypipe.state.store import State, open_state


def build_job(cfg: DictConfig, options: Any, **more: Any) -> Job:
    """Return the job that a config describes.

    Args:
        cfg: The config, its endpoints filled in.
        options: Its typed options.
        more: Fields of `Job` that only one command sets.

    Raises:
        OptionError: A part refused its settings.
    """
    store = more.pop("store", None) or config.required(cfg, "storage")
    state = more.pop("state", None) or open_job_state(options, store)
    checkpoint: CheckpointSettings = config.required(cfg, "checkpoint")
    return Job(
        store=store,
        cleaner=config.required(cfg, "text"),
        summarizer=config.required(cfg, "summarizer"),
        embedder=config.required(cfg, "embedder"),
        index=config.build(cfg, "opensearch"),
        ledger=Ledger(state, checkpoint.open(state)),
        skip_processed=checkpoint.skip,
        stages=options.stages,
        breaker=options.breaker,
        ray=options.ray,
        limit=options.limit,
        adopt=options.adopt,
        quota=options.quota,
        budget=options.budget,
        prices=config.required(cfg, "prices"),
        life=options.index,
        **more,
    )


def build_listing_job(cfg: DictConfig, options: Any) -> Job:
    """Return the job of a command that lists the source: `run` does it, `plan` tells of it.

    Raises:
        OptionError: A part refused its settings.
    """
    return build_job(
        cfg,
        options,
        purge=options.purge,
        max_attempts=options.max_attempts,
        max_delete_fraction=options.max_delete_fraction,
        allow_deletes=options.allow_deletes,
    )


def open_job_state(options: Any, store: BookSource | None) -> State:
    """Return the state; on S3 it is reached as the books are, where those are on S3 too."""
    return open_state(options.state.uri, getattr(store, "connection", None))


def drop_storage(cfg: DictConfig, options: Any) -> None:
    """Take the storage out of a command that reads no book.

    All that it is good for there is the way to a state on S3.
    """
    if "://" not in options.state.uri:
        with open_dict(cfg):
            del cfg.storage


def open_state_without_books(cfg: DictConfig, options: Any) -> State:
    """Return the state of a command that reads no book; `without_books` and endpoints come first.

    Raises:
        OptionError: The storage refused its settings.
    """
    return open_job_state(options, config.required(cfg, "storage") if "storage" in cfg else None)


def run_and_report(job: Job, cfg: DictConfig, output: str) -> RunRecord:
    """Run a job under its claim and print its numbers.

    Raises:
        SetupError: Something makes every book fail; nothing was begun.
    """
    job.ledger.state.check()
    # Ray tells of workers that died on stdout; that is for what this command was asked for.
    with WriterLock.take(job.ledger.state) as claim, redirect_stdout(sys.stderr):
        record = run(job, claim, config.plain(cfg))
    if output == "json":
        print(json.dumps(dataclasses.asdict(record), ensure_ascii=False))
    else:
        print(_report(record, job))
    return record


def _report(record: RunRecord, job: Job) -> str:
    """Return the counts and where things are."""
    lines = [
        f"listed {record.listed:,} = skipped {record.skipped:,} + indexed {record.indexed:,}"
        + (f" (finished {record.finished:,})" if job.index is None else "")
        + f" + failed {record.failed:,} + left {record.left:,}"
        f"   in {record.seconds:.1f} s, {record.model_calls:,} model calls",
    ]
    if record.model_calls + record.cached_calls and record.input_tokens + record.output_tokens:
        lines.append(
            f"models  {record.input_tokens:,} tokens in, {record.output_tokens:,} out, "
            f"${record.usd:,.2f}; {record.cached_calls:,} answers came from the cache"
        )
    if record.removed:
        lines.append(f"removed {record.removed:,} that are gone from the source")
    if record.reason:
        lines.append(f"stopped {record.reason}; run again to go on")
    if record.failed or record.known_failures or record.degraded:
        lines += _failures(record, job)
    if job.index is not None:
        served = record.served or "nothing yet"
        lines.append(f"index   {job.index.index} -> {served} at {job.index.connection.endpoint}")
        if record.served != record.index:
            lines.append(f"        {record.index} is built beside it{_why_not(record)}")
    lines.append(f"state   {job.ledger.state.uri} (runs/{record.run_id}/run.json)")
    lines.append(f"log     {Path('processing.log').absolute()}")
    return "\n".join(lines)


def _why_not(record: RunRecord) -> str:
    """Say why a new index is not served."""
    if record.lacking:
        return (
            f" and lacks {record.lacking:,} of its books: run again, or serve it without them "
            "with `raypipe promote force=true`"
        )
    return "; run again to go on with it"


def _failures(record: RunRecord, job: Job) -> list[str]:
    """Return what failed in this run, kind by kind, with an example and the way out."""
    rows = job.ledger.failures.of_run(record.run_seq).to_pylist()
    by_kind: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_kind.setdefault(row["kind"], []).append(row)
    lines = [
        f"failed  {len(some):,} {kind}: {explain(kind)} (e.g. {some[0]['message']})"
        for kind, some in sorted(by_kind.items())
    ]
    if record.known_failures:
        lines.append(
            f"        {record.known_failures:,} known failures were not tried again"
            " (`raypipe retry all=true` tries them)"
        )
    return lines
