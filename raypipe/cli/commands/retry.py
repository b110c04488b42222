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
from raypipe.ledger.ledger import Ledger
from raypipe.run.planner import BookSelection
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
        # Whoever retries has fixed something; the limit of attempts is for `run`.
        selection = BookSelection(max_attempts=sys.maxsize, include_permanent_failures=options.all)
        job = build_job(cfg, options, selection)
        recipe = job.processing.recipe.document
        degraded = job.ledger.documents.degraded(recipe)
        book_ids = _choose_failed(job.ledger, recipe, options.all) | degraded
        if degraded:
            log.info("and %s that have a fallback's summary", f"{len(degraded):,}")
        selection = replace(job.selection, book_ids=book_ids, reprocess=degraded)
        record = run_and_report(replace(job, selection=selection), options.output)
    return record.exit_code or 0


def _choose_failed(ledger: Ledger, recipe: str, include_permanent: bool) -> set[str]:
    """Return the ids of the failed books to retry, and log their number.

    Args:
        ledger: The ledger.
        recipe: Document recipe of the run.
        include_permanent: Whether to retry permanent failures too.
    """
    failed = equal(ledger.unresolved_failures(), "recipe", recipe)
    retryable = failed.filter(failed["retryable"])
    permanent = failed.filter(pc.invert(failed["retryable"]))
    chosen = failed if include_permanent else retryable
    log.info("retrying %s failed books", f"{len(chosen):,}")
    if len(permanent) and not include_permanent:
        log.info(
            "%s permanent failures are not retried (%s); all=true retries them",
            f"{len(permanent):,}",
            ", ".join(sorted(pc.unique(permanent["kind"]).to_pylist())),
        )
    return set(chosen["book_id"].to_pylist())
