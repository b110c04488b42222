"""List the books; summarize, embed and index the new books."""

from __future__ import annotations

from collections.abc import Iterable

from omegaconf import DictConfig, OmegaConf

from raypipe.cli.format_hits import format_hits
from raypipe.cli.local_services import EMBEDDED
from raypipe.cli.run_job import open_listing_job, run_and_report, run_job
from raypipe.core.exit_codes import OK
from raypipe.core.printable import escape_line
from raypipe.embedders.protocol import Embedder
from raypipe.ledger.run_records import RunRecord
from raypipe.opensearch.index import IndexAlias
from raypipe.opensearch.search import search
from raypipe.run.executors.base import ListenForStop


def main(cfg: DictConfig) -> int:
    """Run the job, print its result, and return its exit code.

    Raises:
        SetupError: Nothing was started, because every book would fail.
        OptionError: An option is out of range.
    """
    uses_samples = OmegaConf.select(cfg, "storage.endpoint_url") == EMBEDDED
    with open_listing_job(cfg) as (job, options):
        record = run_and_report(job, options.output)
        index = job.target.config
        is_served = index is not None and record.served == record.index
        if uses_samples and is_served and options.output == "text":
            assert index is not None
            alias, embedder = IndexAlias(index), job.processing.embedder
            _print_example_searches(options.examples, alias, embedder)
    return record.exit_code or OK


def carry_out(cfg: DictConfig, listen_for_stop: ListenForStop) -> RunRecord:
    """Run the job and return its record; errors as `main`."""
    with open_listing_job(cfg) as (job, _):
        return run_job(job, listen_for_stop)


def _print_example_searches(queries: Iterable[str], alias: IndexAlias, embedder: Embedder) -> None:
    for query in queries:
        print(f'\nraypipe search "{escape_line(query)}"')
        print(format_hits(search(alias, embedder, query, limit=3)))
