"""List the books; summarize, embed and index the new books."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from raypipe.cli.format_hits import format_hits
from raypipe.cli.job_factory import build_listing_job
from raypipe.cli.local_services import EMBEDDED, start_local_services
from raypipe.cli.run_job import run_and_report
from raypipe.config.build import read_options
from raypipe.core.exit_codes import OK
from raypipe.embedded.services import Services
from raypipe.embedders.protocol import Embedder
from raypipe.opensearch.index import IndexAlias
from raypipe.opensearch.search import search


def main(cfg: DictConfig) -> int:
    """Run the job, print its result, and return its exit code.

    Raises:
        SetupError: Nothing was started, because every book would fail.
        OptionError: An option is out of range.
    """
    options = read_options(cfg)
    uses_samples = OmegaConf.select(cfg, "storage.endpoint_url") == EMBEDDED
    with Services(Path(options.embedded.data)) as services:
        start_local_services(cfg, services)
        job = build_listing_job(cfg, options)
        record = run_and_report(job, options.output)
        index = job.target.config
        is_served = index is not None and record.served == record.index
        if uses_samples and is_served and options.output == "text":
            assert index is not None
            alias, embedder = IndexAlias(index), job.processing.embedder
            _print_example_searches(options.examples, alias, embedder)
    return record.exit_code or OK


def _print_example_searches(queries: Iterable[str], alias: IndexAlias, embedder: Embedder) -> None:
    for query in queries:
        print(f'\nraypipe search "{query}"')
        print(format_hits(search(alias, embedder, query, limit=3)))
