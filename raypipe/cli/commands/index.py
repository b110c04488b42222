"""Index what is finished already: no book is listed or read, no model is called."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from raypipe.cli.job_factory import (
    build_job,
    build_processing,
    drop_storage,
    open_state_without_books,
    run_and_report,
)
from raypipe.cli.local_services import start_local_services
from raypipe.config import build as config
from raypipe.core.errors import SetupError
from raypipe.embedded.services import Services
from raypipe.ledger.ledger import Ledger
from raypipe.run.job import Job, Processing
from raypipe.run.planner import BookSelection
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
        record = run_and_report(_job(cfg, options), options.output)
    return record.exit_code or 0


def _job(cfg: DictConfig, options: Any) -> Job:
    state = open_state_without_books(cfg, options)
    ledger, processing = Ledger(state), build_processing(cfg)
    _check_finished(ledger, processing)
    return build_job(
        cfg,
        options,
        BookSelection(max_attempts=options.max_attempts),
        source=FinishedDocumentSource(ledger.documents, processing.recipe.document),
        state=state,
        purge=options.purge,
    )


def _check_finished(ledger: Ledger, processing: Processing) -> None:
    """Stop before the index is touched if no document of the recipe is finished.

    Raises:
        SetupError: There is none; the message names the recipes that have documents.
    """
    documents, uri = ledger.documents, ledger.state.uri
    if documents.has(processing.recipe.document):
        return
    kept = documents.kept()
    if not kept:
        raise SetupError(
            f"no document is finished in {uri} yet; `raypipe run` makes documents, with"
            " opensearch=none if it is to stop there"
        )
    there = "; ".join(f"{one.books:,} by {one.summarizer} and {one.embedder}" for one in kept)
    raise SetupError(
        f"{uri} has no document of this recipe ({processing.summarizer.name} and"
        f" {processing.embedder.name}); finished are {there}. Give the text, summarizer and"
        " embedder options of the run that made them, or run `raypipe run` with these options"
    )
