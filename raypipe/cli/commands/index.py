"""Index what is finished already: no book is listed or read, no model is called."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from raypipe.cli.job_factory import (
    build_job,
    drop_storage,
    open_state_without_books,
    run_and_report,
)
from raypipe.cli.local_services import start_local_services
from raypipe.config import build as config
from raypipe.core.errors import SetupError
from raypipe.core.fingerprint import recipe_of
from raypipe.embedded.services import Services
from raypipe.ledger.documents import DocumentStore
from raypipe.run.job import Job
from raypipe.sources.finished_documents import FinishedDocumentSource


def main(cfg: DictConfig) -> int:
    """Index the newest finished document of each book, and return the exit code.

    Raises:
        SetupError: Nothing is finished by this recipe, or the index cannot be written.
        OptionError: A value is out of its range.
    """
    options = config.options(cfg)
    drop_storage(cfg, options)
    with Services(Path(options.embedded.data)) as services:
        start_local_services(cfg, services)
        config.required(cfg, "opensearch")
        job = _job(cfg, options)
        _check_finished(job)
        record = run_and_report(job, cfg, options.output)
    return record.exit_code or 0


def _job(cfg: DictConfig, options: Any) -> Job:
    state = open_state_without_books(cfg, options)
    parts = (config.required(cfg, group) for group in ("text", "summarizer", "embedder"))
    recipe = recipe_of(*(part.identity() for part in parts))
    return build_job(
        cfg,
        options,
        store=FinishedDocumentSource(DocumentStore(state), recipe.document),
        state=state,
        purge=options.purge,
        max_attempts=options.max_attempts,
    )


def _check_finished(job: Job) -> None:
    """Raise before an index is touched if there is nothing to put into it."""
    if job.ledger.documents.has(job.recipe.document):
        return
    kept = job.ledger.documents.kept()
    if not kept:
        raise SetupError(
            f"nothing is finished in {job.ledger.state.uri} yet; `raypipe run` does that, with"
            " opensearch=none if it is to stop there"
        )
    there = "; ".join(f"{one.books:,} by {one.summarizer} and {one.embedder}" for one in kept)
    raise SetupError(
        f"{job.ledger.state.uri} has no document of this recipe ({job.summarizer.name} and"
        f" {job.embedder.name}); finished are {there}. Give the text, summarizer and embedder"
        " options of the run that made them, or run `raypipe run` with these"
    )
