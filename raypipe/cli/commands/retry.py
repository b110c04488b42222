"""Try failed books again."""

from __future__ import annotations

import logging
import sys
from collections.abc import Set
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from omegaconf import DictConfig

from raypipe.cli.job_factory import build_job, check_local_state
from raypipe.cli.local_services import PROCESSING_PARTS, start_local_services
from raypipe.cli.run_job import run_and_report
from raypipe.config.build import read_options
from raypipe.core.exit_codes import OK
from raypipe.embedded.services import Services
from raypipe.ledger.facade import Ledger
from raypipe.ledger.failure_log import is_index_fault
from raypipe.run.planner import BookSelection
from raypipe.run.processing import read_accepted

log = logging.getLogger(__name__)


def main(cfg: DictConfig) -> int:
    """Process the books with temporary failures, or with all=true every failed book.

    Returns:
        The exit code of the run.

    Raises:
        SetupError: Nothing was started, because every book would fail.
        OptionError: An option is out of range.
    """
    options = read_options(cfg)
    check_local_state(options)
    with Services(Path(options.embedded.data)) as services:
        start_local_services(cfg, services, PROCESSING_PARTS)
        # The limit on attempts is for `run`: a retry comes after the cause was fixed.
        selection = BookSelection(max_attempts=sys.maxsize, include_permanent_failures=options.all)
        job = build_job(cfg, options, selection)
        accepted = read_accepted(job.processing, job.ledger, upgrade=options.upgrade)
        recipes = accepted.documents
        failed = _select_failed(job.ledger, recipes, options.all)
        degraded = job.ledger.documents.degraded_books(recipes)
        if degraded:
            log.info("retrying %s books with a fallback summary", f"{len(degraded):,}")
        selection = replace(job.selection, book_ids=failed | degraded, reprocess=degraded)
        record = run_and_report(replace(job, selection=selection), options.output)
    return record.exit_code or OK


def _select_failed(ledger: Ledger, recipes: Set[str], include_permanent: bool) -> set[str]:
    """Return the ids of the failed books to process again, and log how many there are.

    Args:
        ledger: The ledger.
        recipes: Document recipes that the run accepts.
        include_permanent: Whether to select permanent failures, too.
    """
    failures = ledger.unresolved_failures()
    recipe_names = pa.array(sorted(recipes), pa.string())
    failed = failures.filter(pc.is_in(failures["recipe"], recipe_names))
    rows = zip(
        *(failed[name].to_pylist() for name in ("retryable", "kind", "message")), strict=True
    )
    is_temporary = [retryable or is_index_fault(kind, text) for retryable, kind, text in rows]
    temporary = failed.filter(pa.array(is_temporary, pa.bool_()))
    permanent = failed.filter(pc.invert(pa.array(is_temporary, pa.bool_())))
    selected = failed if include_permanent else temporary
    log.info("retrying %s failed books", f"{len(selected):,}")
    if len(permanent) and not include_permanent:
        log.info(
            "not retrying %s permanent failures (%s); all=true retries them, too",
            f"{len(permanent):,}",
            ", ".join(sorted(pc.unique(permanent["kind"]).to_pylist())),
        )
    return set(selected["book_id"].to_pylist())
