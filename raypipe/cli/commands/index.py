"""Index the finished documents: no book is listed or read, and no model is called."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from raypipe.cli.job_factory import (
    build_job,
    build_processing,
    check_local_state,
    drop_unused_storage,
    open_state_without_books,
)
from raypipe.cli.local_services import REPORTING_PARTS, start_local_services
from raypipe.cli.run_job import run_and_report
from raypipe.config.build import read_options, require_part
from raypipe.config.origins import was_given
from raypipe.core.exit_codes import OK
from raypipe.embedded.services import Services
from raypipe.ledger.facade import Ledger
from raypipe.opensearch.index import IndexAlias, IndexConfig
from raypipe.run.job import Job
from raypipe.run.planner import BookSelection
from raypipe.run.processing import read_accepted
from raypipe.run.stored_recipe import check_finished, select_recipe
from raypipe.sources.finished_documents import FinishedDocumentSource

log = logging.getLogger(__name__)

_PARTS = ("text", "summarizer", "prompts", "embedder")
"""Groups whose options decide which documents are indexed."""


def main(cfg: DictConfig) -> int:
    """Index the newest finished document of each book, and return the exit code.

    Raises:
        SetupError: No document of this recipe is finished, or the index cannot be written.
        OptionError: An option is out of range.
    """
    options = read_options(cfg)
    drop_unused_storage(cfg, options)
    check_local_state(options)
    with Services(Path(options.embedded.data)) as services:
        start_local_services(cfg, services, ("storage", *REPORTING_PARTS))
        require_part(cfg, "opensearch")
        record = run_and_report(_build_job(cfg, options), options.output)
    return record.exit_code or OK


def _build_job(cfg: DictConfig, options: Any) -> Job:
    """Return a job whose source is finished documents.

    Without options of the parts it is the recipe that is served, or else the newest: a forgotten
    `summarizer=...` must not replace an index by another.
    """
    state = open_state_without_books(cfg, options)
    ledger, processing = Ledger(state), build_processing(cfg)
    index: IndexConfig = require_part(cfg, "opensearch")
    served = IndexAlias(index).find()
    stored = select_recipe(ledger, processing, served, parts_given=any(map(was_given, _PARTS)))
    if stored is not None:
        processing = replace(processing, stored=stored)
    job = build_job(
        cfg,
        options,
        BookSelection(max_attempts=options.max_attempts),
        source=FinishedDocumentSource(ledger.documents, processing.recipe.document, frozenset()),
        state=state,
        processing=processing,
        purge=options.purge,
    )
    accepted = read_accepted(processing, ledger, upgrade=options.upgrade).documents
    description = processing.description
    check_finished(ledger, description, accepted)
    log.info(
        "indexing the documents by %s and %s (recipe %s%s)",
        description.summarizer,
        description.embedder,
        description.document,
        ", which is served" if served and served.ref.content.recipe in accepted else "",
    )
    source = FinishedDocumentSource(ledger.documents, description.document, accepted)
    return replace(job, source=source)
