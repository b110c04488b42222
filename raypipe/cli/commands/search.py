"""Find books by a description."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from omegaconf import DictConfig

from raypipe.cli.format_hits import format_hits
from raypipe.cli.local_services import start_local_services
from raypipe.config.build import read_options, require_part
from raypipe.core.errors import OptionError
from raypipe.core.exit_codes import OK
from raypipe.core.printable import to_json
from raypipe.embedded.services import Services
from raypipe.opensearch.index import IndexAlias
from raypipe.opensearch.search import MAX_HITS, Hit, search


def main(cfg: DictConfig) -> int:
    """Search, and print the hits; errors as `carry_out`."""
    options, hits = read_options(cfg), carry_out(cfg)
    if options.output == "json":
        report = {"query": options.query, "hits": [dataclasses.asdict(hit) for hit in hits]}
        print(to_json(report))
    else:
        print(format_hits(hits))
    return OK


def carry_out(cfg: DictConfig) -> list[Hit]:
    """Return the hits, best first.

    Raises:
        SetupError: There is no index, or another embedder made its vectors.
        OptionError: An option is out of range.
    """
    options = read_options(cfg)
    if not 1 <= options.limit <= MAX_HITS:
        raise OptionError(f"limit={options.limit} must be between 1 and {MAX_HITS}")
    with Services(Path(options.embedded.data)) as services:
        start_local_services(cfg, services, ["embedder"], needs_index=True)
        alias = IndexAlias(require_part(cfg, "opensearch"))
        embedder = require_part(cfg, "embedder")
        return search(alias, embedder, options.query, options.limit, options.search.fusion)
