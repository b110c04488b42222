"""Serve the index that was built beside the served index."""

from __future__ import annotations

from omegaconf import DictConfig

from raypipe.cli.index_session import format_served, index_session
from raypipe.config.build import read_options
from raypipe.core.errors import SetupError
from raypipe.core.exit_codes import FAILED_BOOKS, OK
from raypipe.core.options import IndexOptions
from raypipe.lifecycle.promote import Promoter
from raypipe.opensearch.index import Index


def main(cfg: DictConfig) -> int:
    """Check the new index, point the alias at it, and print which index is served.

    Returns:
        0, or 3 if the new index lacks books of the served index and `force` is not given.

    Raises:
        SetupError: There is no such index, or it differs from the ledger.
    """
    options = read_options(cfg)
    index_options = IndexOptions(keep=options.keep, force_merge=options.force_merge)
    with index_session(cfg, options, index_options) as promoter:
        new = _select_index(promoter, options.to)
        served = promoter.promote(new, force=options.force)
    print(format_served(served, promoter.alias.config, new.ref.physical, options.output))
    return FAILED_BOOKS if served.lacking else OK


def _select_index(promoter: Promoter, name: str) -> Index:
    """Return the index with this name, or the index that is being built if the name is empty."""
    if not name:
        build = promoter.alias.find_build()
        if build is None:
            raise SetupError(
                f"no index is being built beside opensearch.index={promoter.alias.config.index}; "
                "`raypipe index` builds a new index, to=<name> serves an old index"
            )
        return build
    for ref in promoter.list_indices():
        if ref.physical == name:
            return promoter.alias.bind(ref)
    raise SetupError(f"to={name}: no such index in this state, which has {promoter.index_names()}")
