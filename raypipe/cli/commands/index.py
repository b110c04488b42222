"""Index the finished documents: no book is listed or read, and no model is called."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from raypipe.cli.job_factory import (
    build_job,
    build_processing,
    drop_unused_storage,
    open_state_without_books,
)
from raypipe.cli.local_services import start_local_services
from raypipe.cli.run_job import run_and_report
from raypipe.config.build import read_options, require_part
from raypipe.core.errors import SetupError
from raypipe.core.exit_codes import OK
from raypipe.embedded.services import Services
from raypipe.ledger.facade import Ledger
from raypipe.run.job import Job, Processing
from raypipe.run.planner import BookSelection
from raypipe.sources.finished_documents import FinishedDocumentSource


def main(cfg: DictConfig) -> int:
    """Index the newest finished document of each book, and return the exit code.

    Raises:
        SetupError: No document of this recipe is finished, or the index cannot be written.
        OptionError: An option is out of range.
    """
    options = read_options(cfg)
    drop_unused_storage(cfg, options)
    with Services(Path(options.embedded.data)) as services:
        start_local_services(cfg, services)
        require_part(cfg, "opensearch")
        record = run_and_report(_build_job(cfg, options), options.output)
    return record.exit_code or OK


def _build_job(cfg: DictConfig, options: Any) -> Job:
    """Return a job whose source is the finished documents of its recipe."""
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
    """Raise an error before the index is changed if there are no documents for it."""
    if ledger.documents.has_documents(processing.recipe.document):
        return
    uri, recipes = ledger.state.uri, ledger.documents.list_recipes()
    if not recipes:
        raise SetupError(
            f"no finished documents in {uri}; `raypipe run` makes them, and with "
            "opensearch=none it stops there"
        )
    finished = "; ".join(
        f"{recipe.books:,} by {recipe.summarizer} and {recipe.embedder}" for recipe in recipes
    )
    raise SetupError(
        f"{uri} has no documents of this recipe ({processing.summarizer.name} and "
        f"{processing.embedder.name}); finished are {finished}. Give the text, summarizer and "
        "embedder options of the run that made them, or start `raypipe run` with these options"
    )
