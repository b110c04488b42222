"""Find books by describing them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from omegaconf import DictConfig

from raypipe.cli.format_hits import format_hits
from raypipe.cli.local_services import start_local_services
from raypipe.config import build as config
from raypipe.core.errors import OptionError
from raypipe.embedded.services import Services
from raypipe.opensearch.index import IndexAlias
from raypipe.opensearch.search import MAX_HITS, search


def main(cfg: DictConfig) -> int:
    """Search and print the hits.

    Raises:
        SetupError: There is no index, or another embedder made its vectors.
        OptionError: A value is out of its range.
    """
    options = config.options(cfg)
    if not 1 <= options.limit <= MAX_HITS:
        raise OptionError(f"limit={options.limit} must be between 1 and {MAX_HITS}")
    with Services(Path(options.embedded.data)) as services:
        start_local_services(cfg, services)
        alias = IndexAlias(config.required(cfg, "opensearch"))
        hits = search(alias, config.required(cfg, "embedder"), options.query, options.limit)
    if options.output == "json":
        found = {"query": options.query, "hits": [dataclasses.asdict(hit) for hit in hits]}
        print(json.dumps(found, ensure_ascii=False))
    else:
        print(format_hits(hits))
    return 0
