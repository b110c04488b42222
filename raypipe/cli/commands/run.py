"""List the books, summarize and embed the new ones, index them."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from raypipe.cli.format_hits import format_hits
from raypipe.cli.job_factory import build_listing_job, run_and_report
from raypipe.cli.local_services import EMBEDDED, start_local_services
from raypipe.config import build as config
from raypipe.embedded.services import Services
from raypipe.opensearch.index import IndexAlias
from raypipe.opensearch.search import search
from raypipe.run.job import Job


def main(cfg: DictConfig) -> int:
    """Run the job, print its numbers, and return its exit code.

    Raises:
        SetupError: Something makes every book fail; nothing was begun.
        OptionError: A value is out of its range.
    """
    options = config.options(cfg)
    on_samples = OmegaConf.select(cfg, "storage.endpoint_url") == EMBEDDED
    with Services(Path(options.embedded.data)) as services:
        start_local_services(cfg, services)
        job = build_listing_job(cfg, options)
        record = run_and_report(job, cfg, options.output)
        searchable = job.index is not None and record.served == record.index
        if on_samples and searchable and options.output == "text":
            _show_examples(job, options.examples)
    return record.exit_code or 0


def _show_examples(job: Job, examples: list[str]) -> None:
    assert job.index is not None
    for query in examples:
        print(f'\nraypipe search "{query}"')
        print(format_hits(search(IndexAlias(job.index), job.embedder, query, limit=3)))
