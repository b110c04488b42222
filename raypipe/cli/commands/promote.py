"""Serve the index that was built beside the one that people search."""

from __future__ import annotations

from omegaconf import DictConfig

from raypipe.cli.index_session import format_served, index_session
from raypipe.config import build as config
from raypipe.core.errors import SetupError
from raypipe.core.options import IndexOptions
from raypipe.lifecycle.promote import Promoter
from raypipe.opensearch.index import Index


def main(cfg: DictConfig) -> int:
    """Check the new index, let the alias go over to it, and print what is served.

    Returns:
        0, or 3 where the new index lacks books that the old one has, and `force` is not given.

    Raises:
        SetupError: There is no such index, or it is not what the ledger says.
    """
    options = config.options(cfg)
    life = IndexOptions(keep=options.keep, force_merge=options.force_merge)
    with index_session(cfg, options, life) as promotion:
        new = _chosen(promotion, options.to)
        served = promotion.promote(new, force=options.force)
    print(format_served(served, promotion.alias.config, new.ref.physical, options.output))
    return 3 if served.lacking else 0


def _chosen(promotion: Promoter, to: str) -> Index:
    if not to:
        found = promotion.alias.find_build()
        if found is None:
            raise SetupError(
                f"no index is being built beside opensearch.index={promotion.alias.config.index}; "
                "`raypipe index` builds one, to=<name> serves an old one"
            )
        return found
    for one in promotion.kept():
        if one.physical == to:
            return promotion.alias.bind(one)
    raise SetupError(f"to={to}: no index of this state; there are {promotion.names()}")
