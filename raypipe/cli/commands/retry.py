"""Try failed books again."""

from __future__ import annotations

import logging
import sys
from dataclasses import replace
from pathlib import Path

import pyarrow.compute as pc
from omegaconf import DictConfig

from raypipe.cli.job_factory import build_job, run_and_report
from raypipe.cli.local_services import start_local_services
from raypipe.config import build as config
from raypipe.embedded.services import Services
from raypipe.run.job import Job
from raypipe.state.table_schema import equal

log = logging.getLogger(__name__)


def main(cfg: DictConfig) -> int:
    """Take the books that failed and may pass, or all that failed; return the exit code.

    Raises:
        SetupError: Something makes every book fail; nothing was begun.
        OptionError: A value is out of its range.
    """
    options = config.options(cfg)
    with Services(Path(options.embedded.data)) as services:
        start_local_services(cfg, services)
        # A person who asks for it has put something right: the cap on attempts is for `run`.
        job = build_job(cfg, options, max_attempts=sys.maxsize, lasting=options.all)
        degraded = job.ledger.documents.degraded(job.recipe.document)
        chosen = _chosen(job, degraded)
        record = run_and_report(replace(job, only=chosen, again=degraded), cfg, options.output)
    return record.exit_code or 0


def _chosen(job: Job, degraded: set[str]) -> set[str]:
    """Return the ids of the books to try, and say how many there are.

    Args:
        job: The job.
        degraded: Books that are indexed, but not with the model's summary.
    """
    failed = job.ledger.unresolved_failures()
    failed = equal(failed, "recipe", job.recipe.document)
    passing = failed.filter(failed["retryable"])
    lasting = len(failed) - len(passing)
    chosen = failed if job.lasting else passing
    log.info("retrying %s failed books", f"{len(chosen):,}")
    if degraded:
        log.info("and %s that have a fallback's summary", f"{len(degraded):,}")
    if lasting and not job.lasting:
        kinds = pc.unique(failed.filter(pc.invert(failed["retryable"]))["kind"]).to_pylist()
        log.info(
            "%s more do not pass by themselves (%s); all=true takes them too",
            f"{lasting:,}",
            ", ".join(sorted(kinds)),
        )
    return set(chosen["book_id"].to_pylist()) | degraded
